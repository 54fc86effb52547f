import assert from "node:assert/strict";
import { eventually } from "../testing/eventually.ts";
import { RpcCode, RpcError } from "./errors.ts";
import { RpcLab } from "./testing.ts";

const rejects = (call: Promise<unknown>, code: RpcCode, message?: RegExp) =>
  assert.rejects(call, (error) => {
    assert(error instanceof RpcError, String(error));
    assert.equal(RpcCode[error.code], RpcCode[code], error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });

Deno.test("a unary call carries its request and its answer", async () => {
  await using lab = await RpcLab.start({
    collectGarbage: ({ valid }) => ({ removed: valid }),
  });
  const answer = await lab.client().collectGarbage({
    valid: [{ containerId: "c1", ifName: "eth0" }],
  });
  assert.deepEqual(answer.removed.map((one) => [one.containerId, one.ifName]), [["c1", "eth0"]]);
});
