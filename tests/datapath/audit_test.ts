/** Policies in audit mode: every packet passes, and each event says what would have dropped it. */
import assert from "node:assert/strict";
import { tcp } from "../../shared/testing/packets.ts";
import { ACTIONS, INGRESS } from "./datapath.ts";
import { A, B, IDENTITY_B, makeWorld, sent, type World } from "./world.ts";

const ISOLATION = 1;
const RULE = 92;
const DROPS = 1;
const CONNECTIONS = 2;
const request = tcp({ srcPort: 40_000, dstPort: 80, flags: "S" });
const answer = tcp({ srcPort: 80, dstPort: 40_000, flags: "SA" });
const more = tcp({ srcPort: 40_000, dstPort: 80, flags: "A" });

function isolate({ datapath }: World, action: "audit" | "deny"): void {
  datapath.addRule({
    action,
    ruleId: RULE,
    dstIdentity: IDENTITY_B,
    direction: INGRESS,
    kind: ISOLATION,
  });
}

function send({ datapath, a }: World, payload: typeof request): string {
  return datapath.run("pod_egress", sent(a, B, payload), a).verdict;
}

/** Verdict and rule of each event since the last call. */
function reported({ datapath }: World): (readonly [number, number])[] {
  return datapath.events().map(({ verdict, ruleId }) => [verdict, ruleId] as const);
}

Deno.test("every event of an audited flow says so, in both directions", async () => {
  await using world = await makeWorld();
  const { datapath, b } = world;
  isolate(world, "audit");
  assert.equal(send(world, request), "redirect");
  assert.equal(datapath.run("pod_egress", sent(b, A, answer), b).verdict, "redirect");
  assert.equal(send(world, more), "redirect");
  const events = reported(world);
  assert.equal(events.length >= 2, true);
  for (const event of events) assert.deepEqual(event, [ACTIONS.audit, RULE]);
});

Deno.test("audited flows are reported where drops are, allowed ones are not", async () => {
  await using world = await makeWorld();
  world.datapath.set({ flowLevel: DROPS });
  send(world, request);
  assert.deepEqual(reported(world), []);
  isolate(world, "audit");
  send(world, tcp({ srcPort: 40_001, dstPort: 80, flags: "S" }));
  assert.deepEqual(reported(world), [[ACTIONS.audit, RULE]]);
});

Deno.test("a living flow comes under audit, is reported, and leaves it again", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  datapath.set({ flowLevel: CONNECTIONS });
  const judgeAgain = () =>
    datapath.set({ evaluationGeneration: datapath.state.evaluationGeneration + 1 });
  send(world, request);
  reported(world);
  isolate(world, "audit");
  judgeAgain();
  assert.equal(send(world, more), "redirect");
  assert.deepEqual(reported(world), [[ACTIONS.audit, RULE]]);
  assert.equal(send(world, more), "redirect");
  assert.deepEqual(reported(world), [], "once is enough");
  isolate(world, "deny");
  judgeAgain();
  assert.equal(send(world, more), "drop");
  assert.deepEqual(reported(world), [[ACTIONS.deny, RULE]]);
});
