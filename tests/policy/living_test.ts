import assert from "node:assert/strict";
import {
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { scenario } from "../scenarios/scenario.ts";
import { modelEnd } from "./cast.ts";
import { type Connection, openConnection } from "./connection.ts";
import { decide, type Verdict } from "./model.ts";
import { FATE_TIMEOUT_MS, PolicyNode } from "./policy_node.ts";
import { describeProbe, type LivingCase, type LivingProbe, readLiving } from "./table.ts";

const CASES = readLiving();

Deno.test("what becomes of living connections is what the documentation says", () => {
  for (const { what, before, after, connections } of CASES) {
    for (const probe of connections) {
      const answers = [before, after].map((world) => {
        const [from, to] = [probe.from, probe.to].map((name) => modelEnd(name, world.pods));
        assert(from && to);
        const cluster = { namespaces: { ...world.namespaces }, policies: [...world.policies] };
        return decide(cluster, from, to, probe.protocol, probe.port);
      });
      assert.notEqual(answers[0]?.verdict, "deny", `${what}: it is opened`);
      const { verdict, rules } = answers[1] ?? { verdict: "", rules: [] };
      assert.equal(verdict, probe.verdict, what);
      assert(rules.includes(probe.rule), `${what}: ${rules.join(" or ")}, not ${probe.rule}`);
    }
  }
});

/** The first event since `from` that tells of a packet of the connection with this verdict. */
function eventOf(
  cast: PolicyNode,
  from: number,
  probe: LivingProbe,
  { sourcePort, targetPort }: Connection,
): FlowEvent | undefined {
  const [src, dst] = [probe.from, probe.to].map((name) => Ipv4.parse(cast.party(name).ip).value);
  const [srcIp, dstIp, srcPort, dstPort] = probe.sender === "source"
    ? [src, dst, sourcePort, targetPort]
    : [dst, src, targetPort, sourcePort];
  // An ICMP message has its identifier in the source port's place, whoever sends it.
  const samePorts = (event: FlowEvent) =>
    probe.protocol === "ICMP"
      ? event.srcPort === sourcePort
      : event.srcPort === srcPort && event.dstPort === dstPort;
  return cast.flows.events.slice(from).find((event) =>
    event.srcIp === srcIp && event.dstIp === dstIp && samePorts(event) &&
    (probe.verdict === "deny"
      ? event.eventType === FlowEventType.DROP
      : event.verdict === PolicyAction.AUDIT)
  );
}

/** Lets a connection send, and sees what becomes of the packet. */
async function fateOf(
  cast: PolicyNode,
  probe: LivingProbe,
  connection: Connection,
): Promise<{ verdict: Verdict; rule: string }> {
  const from = cast.flows.events.length;
  connection.send(probe.sender);
  const what = describeProbe(probe, probe.verdict, probe.rule);
  if (probe.verdict === "allow") {
    await eventually(() => connection.hasArrived(), {
      timeoutMs: FATE_TIMEOUT_MS,
      intervalMs: 2,
      what,
    });
    return { verdict: "allow", rule: probe.rule };
  }
  const event = await eventually(() => eventOf(cast, from, probe, connection), {
    timeoutMs: FATE_TIMEOUT_MS,
    intervalMs: 2,
    what,
  });
  if (probe.verdict === "audit") {
    await eventually(() => connection.hasArrived(), {
      timeoutMs: FATE_TIMEOUT_MS,
      intervalMs: 2,
      what,
    });
    return { verdict: "audit", rule: event.rule };
  }
  assert.equal(DropReason[event.dropReason], "POLICY_DENIED", what);
  assert(!connection.hasArrived(), `${what}: it arrived`);
  return { verdict: "deny", rule: event.rule };
}

async function play(cast: PolicyNode, { before, after, connections }: LivingCase): Promise<void> {
  await cast.enter(before);
  await using stack = new AsyncDisposableStack();
  const living = await Promise.all(
    connections.map(async (probe) => {
      const [source, target] = [cast.party(probe.from), cast.party(probe.to)];
      return stack.use(await openConnection(source, target, probe.protocol, probe.port));
    }),
  );
  await cast.enter(after);
  const fates = await Promise.all(connections.map(async (probe, i) => {
    const { verdict, rule } = await fateOf(cast, probe, living[i] as Connection);
    return describeProbe(probe, verdict, rule);
  }));
  assert.deepEqual(
    fates,
    connections.map((probe) => describeProbe(probe, probe.verdict, probe.rule)),
  );

  // What was dropped comes through when it is sent again under the policies of before.
  await cast.enter(before);
  await Promise.all(connections.map(async (probe, i) => {
    const connection = living[i] as Connection;
    if (probe.verdict !== "deny" || !connection.repeats) connection.send(probe.sender);
    await eventually(() => connection.hasArrived(), {
      timeoutMs: FATE_TIMEOUT_MS,
      intervalMs: 5,
      what: `${describeProbe(probe, "as before", "it")}`,
    });
  }));
}

scenario(`${CASES.length} changes under living connections`, {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  for (const one of CASES) await step(one.what, () => play(cast, one));
});
