import assert from "node:assert/strict";
import {
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { scenario } from "../scenarios/scenario.ts";
import { askTrace, verdictOf } from "../trace/witness.ts";
import { modelEnd } from "./cast.ts";
import { type Connection, openConnection } from "./connection.ts";
import { type Answer, decide, type Verdict } from "./model.ts";
import { FATE_TIMEOUT_MS, PolicyNode } from "./policy_node.ts";
import {
  describeProbe,
  type LivingCase,
  type LivingProbe,
  readLiving,
  type World,
} from "./table.ts";

const CASES = readLiving();

/** What the documentation says of a connection in a world. */
function saidOf({ namespaces, policies, pods }: World, probe: LivingProbe): Answer {
  const [from, to] = [modelEnd(probe.from, pods), modelEnd(probe.to, pods)];
  const cluster = { namespaces: { ...namespaces }, policies: [...policies] };
  return decide(cluster, from, to, probe.protocol, probe.port);
}

Deno.test("what becomes of living connections is what the documentation says", () => {
  for (const { what, before, after, connections } of CASES) {
    for (const probe of connections) {
      assert.notEqual(saidOf(before, probe).verdict, "deny", `${what}: it is opened`);
      const { verdict, rules } = saidOf(after, probe);
      assert.equal(verdict, probe.verdict, what);
      assert(rules.includes(probe.rule), `${what}: ${rules.join(" or ")}, not ${probe.rule}`);
    }
  }
});

/** What trace tells of the next packet of a connection. */
async function traced(node: LabNode, probe: LivingProbe, connection: Connection) {
  const { from, to, protocol, sender } = probe;
  const { sourcePort, targetPort } = connection;
  const { verdict } = await askTrace(
    node,
    sender === "source"
      ? { from, to, protocol, srcPort: sourcePort, port: targetPort }
      : { from: to, to: from, protocol, srcPort: targetPort, port: sourcePort },
  );
  const [name, rule] = verdictOf(verdict);
  return { verdict: name, rule, established: verdict.established };
}

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

async function play(
  node: LabNode,
  cast: PolicyNode,
  { before, after, connections }: LivingCase,
): Promise<void> {
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
    const connection = living[i] as Connection;
    const told = await traced(node, probe, connection);
    const { verdict, rule } = await fateOf(cast, probe, connection);
    const fate = describeProbe(probe, verdict, rule);
    assert.equal(describeProbe(probe, told.verdict, told.rule), fate, "what trace tells");
    assert.equal(told.established, true, fate);
    return fate;
  }));
  assert.deepEqual(
    fates,
    connections.map((probe) => describeProbe(probe, probe.verdict, probe.rule)),
  );

  // What was dropped comes through when it is sent again under the policies of before.
  await cast.enter(before);
  await Promise.all(connections.map(async (probe, i) => {
    const connection = living[i] as Connection;
    const told = await traced(node, probe, connection);
    const { verdict, rules } = saidOf(before, probe);
    const what = describeProbe(probe, "as before", told.rule);
    assert.equal(told.verdict, verdict, what);
    assert(rules.includes(told.rule), `${what}, not ${rules.join(" or ")}`);
    if (probe.verdict !== "deny" || !connection.repeats) connection.send(probe.sender);
    await eventually(() => connection.hasArrived(), {
      timeoutMs: FATE_TIMEOUT_MS,
      intervalMs: 5,
      what,
    });
  }));
}

scenario(`${CASES.length} changes under living connections`, {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  for (const one of CASES) await step(one.what, () => play(node, cast, one));
});
