import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import {
  type FlowEvent,
  FlowEventSchema,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { FlowFanOut, MOST_SUBSCRIBERS } from "../../shared/flows/fan_out.ts";
import type { FlowBatch } from "../../shared/flows/flow_group.ts";
import { FlowReader } from "../../shared/flows/flow_reader.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { MessageDecoder } from "../../shared/rpc/framing.ts";
import { enrichFlow } from "./enrich.ts";
import { FlowHub } from "./flow_hub.ts";

const ALL = { identity: 0, dropsOnly: false };
const DENY = PolicyAction.DENY;
const ALLOW = PolicyAction.ALLOW;

function flow(srcIdentity: number, dstIdentity: number, verdict: PolicyAction, lostEvents = 0n) {
  return create(FlowEventSchema, { srcIdentity, dstIdentity, verdict, lostEvents });
}

const reader = new FlowReader();

function eventsOf({ bytes }: FlowBatch): FlowEvent[] {
  const messages = new MessageDecoder("answer", 1 << 20).push(bytes);
  return messages.map((message) => reader.read(message));
}

/** Subscribes, runs `publish`, ends, and returns what came. */
async function collect(hub: FlowHub, filter: typeof ALL, publish: () => void) {
  const stop = new AbortController();
  const flows = hub.subscribe(filter, stop.signal);
  const first = flows.next();
  publish();
  stop.abort();
  const { value } = await first;
  const rest = await Array.fromAsync(flows);
  return [...value === undefined ? [] : [value], ...rest].flatMap(eventsOf);
}

const FILTERS: [filter: typeof ALL, kept: number[]][] = [
  [ALL, [0, 1, 2]],
  [{ identity: 300, dropsOnly: false }, [0, 2]],
  [{ identity: 0, dropsOnly: true }, [1, 2]],
  [{ identity: 300, dropsOnly: true }, [2]],
  [{ identity: 999, dropsOnly: false }, []],
];
for (const [filter, kept] of FILTERS) {
  Deno.test(`filter ${JSON.stringify(filter)} keeps ${kept.length} of 3`, async () => {
    const events = [flow(300, 301, ALLOW), flow(302, 303, DENY), flow(304, 300, DENY)];
    const hub = new FlowHub();
    const seen = await collect(hub, filter, () => events.forEach((event) => hub.publish(event)));
    assert.deepEqual(seen, kept.map((index) => events[index]));
  });
}

Deno.test("a slow subscriber is told what it missed, a fast one misses nothing", async () => {
  const hub = new FlowHub(new FlowFanOut({ ofAFilter: 600, all: 10_000 }));
  const stop = new AbortController();
  const slow = hub.subscribe(ALL, stop.signal);
  const first = slow.next();
  for (let i = 0; i < 6; i++) {
    hub.publish(flow(300, 301, ALLOW));
    await Promise.resolve();
  }
  assert.equal(eventsOf((await first).value!)[0]?.lostEvents, 0n);
  assert.equal(hub.lost, 3n);
  assert.equal(eventsOf((await slow.next()).value!)[0]?.lostEvents, 3n);
  assert.equal(eventsOf((await slow.next()).value!)[0]?.lostEvents, 0n);
  stop.abort();
  assert.equal((await slow.next()).done, true);
  assert.equal(hub.events, 6n);
  assert.equal(hub.subscribers, 0);
});

Deno.test("too many subscribers are refused", async () => {
  const hub = new FlowHub();
  const stop = new AbortController();
  const open = Array.from(
    { length: MOST_SUBSCRIBERS },
    () => hub.subscribe(ALL, stop.signal).next(),
  );
  await assert.rejects(
    hub.subscribe(ALL, stop.signal).next(),
    (error) => error instanceof RpcError && error.code === RpcCode.RESOURCE_EXHAUSTED,
  );
  stop.abort();
  await Promise.all(open);
});

Deno.test("losses before the agent reach subscribers that filter the event out", async () => {
  const hub = new FlowHub();
  const seen = await collect(hub, { identity: 0, dropsOnly: true }, () => {
    hub.publish(flow(300, 301, ALLOW, 7n));
    hub.publish(flow(300, 301, DENY, 1n));
    hub.publish(flow(300, 301, DENY));
  });
  assert.deepEqual(seen.map((event) => event.lostEvents), [8n, 0n]);
  assert.equal(hub.lostBefore, 8n);
});

Deno.test("the end of the source ends subscriptions", async () => {
  const hub = new FlowHub();
  const flows = hub.subscribe(ALL, new AbortController().signal);
  const next = flows.next();
  hub.end();
  assert.equal((await next).done, true);
});

Deno.test("names are filled in, and those that are there stay", () => {
  const event = create(FlowEventSchema, { srcIp: 1, dstIp: 2, ruleId: 16, dstPod: "given" });
  enrichFlow(event, {
    podOf: (ip) => ({ podName: `pod${ip}`, podNamespace: "default" }),
    ruleName: (id) => `rule${id}`,
  });
  assert.deepEqual(
    [event.srcPod, event.srcNamespace, event.dstPod, event.rule],
    ["pod1", "default", "given", "rule16"],
  );
});
