import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { GetPodFlowsResponseSchema } from "../../shared/gen/novanet/ext/v1/pod_flows_pb.ts";
import { notes } from "./notes.ts";

Deno.test("a pod without flows has seen none, unless there was no room for them", () => {
  const told = (overflow: bigint) =>
    notes("shop/web", create(GetPodFlowsResponseSchema, { leftOut: { overflow } })).slice(1);
  assert.deepEqual(told(0n), ["No flow was seen: it allows nothing."]);
  assert.deepEqual(told(7n), [
    "No flow is remembered: it allows nothing.",
    "Left out: 7 flow events for want of room: flows are missing.",
  ]);
});
