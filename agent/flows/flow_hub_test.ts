import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import {
  type FlowEvent,
  FlowEventSchema,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { enrichFlow } from "./enrich.ts";
import { FlowHub } from "./flow_hub.ts";

const ALL = { identity: 0, dropsOnly: false };
const DENY = PolicyAction.DENY;
const ALLOW = PolicyAction.ALLOW;

function flow(srcIdentity: number, dstIdentity: number, verdict: PolicyAction, lostEvents = 0n) {
  return create(FlowEventSchema, { srcIdentity, dstIdentity, verdict, lostEvents });
}

/** Subscribes, runs `publish`, ends, and returns what came. */
async function collect(hub: FlowHub, filter: typeof ALL, publish: () => void) {
  const seen: FlowEvent[] = [];
  const stop = new AbortController();
  const reader = (async () => {
    for await (const event of hub.subscribe(filter, stop.signal)) seen.push(event);
  })();
  publish();
  stop.abort();
  await reader;
  return seen;
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
  const hub = new FlowHub(2);
  const stop = new AbortController();
  const slow = hub.subscribe(ALL, stop.signal);
  const first = slow.next();
  hub.publish(flow(300, 301, ALLOW));
  assert.equal((await first).value?.lostEvents, 0n);
  for (let i = 0; i < 5; i++) hub.publish(flow(300, 301, ALLOW));
  assert.equal(hub.lost, 3n);
  await slow.next();
  hub.publish(flow(300, 301, ALLOW));
  await slow.next();
  assert.equal((await slow.next()).value?.lostEvents, 3n);
  stop.abort();
  assert.equal((await slow.next()).done, true);
  assert.equal(hub.events, 7n);
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
