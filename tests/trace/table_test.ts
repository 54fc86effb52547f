/** What `trace` tells is what a real packet meets, over the whole table of policy cases. */
import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type {
  AgentExtTracePacketResponse,
  TraceVerdict,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason, PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ipProtocolNumber } from "../../shared/net/ip_protocol.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { PolicyNode } from "../policy/policy_node.ts";
import { describeProbe, type PolicyCase, type Probe, readTable } from "../policy/table.ts";
import { scenario } from "../scenarios/scenario.ts";

const TABLE = readTable();
const VERDICTS: Readonly<Record<number, string>> = {
  [PolicyAction.ALLOW]: "allow",
  [PolicyAction.AUDIT]: "audit",
  [PolicyAction.DENY]: "deny",
};

/** Asks the agent about the packet of a probe; of its connection when it has a source port. */
async function trace(node: LabNode, probe: Probe, srcPort = 0) {
  const { from, to, protocol, port: dstPort } = probe;
  const number = ipProtocolNumber(protocol) ?? 0;
  const request = { from, to, protocol: number, srcPort, dstPort };
  return await node.client(AgentExt, "novanet.sock").tracePacket(request);
}

function verdictOf({ trace }: AgentExtTracePacketResponse): TraceVerdict {
  assert(trace?.verdict);
  return trace.verdict;
}

/** The last step that decided is the one that the verdict names, with the place where it is written. */
function assertExplained(probe: Probe, { trace }: AgentExtTracePacketResponse): void {
  const verdict = trace?.verdict;
  const step = trace?.steps.find(({ decided, rule }) => decided && rule === verdict?.rule);
  assert(step, `${probe.from} -> ${probe.to}: no step names ${verdict?.rule}`);
  const written = probe.rule.includes("[");
  assert.equal(step.map, probe.rule.startsWith("default-") ? "DATAPATH_STATE" : "POLICIES");
  assert.equal(step.sources.length > 0, written, JSON.stringify(step.sources));
  for (const { file, line } of step.sources) assert(file.endsWith("world.yaml") && line > 0);
  if (probe.verdict === "deny") {
    assert.equal(trace?.steps.at(-1)?.dropReason, DropReason.POLICY_DENIED);
  }
}

scenario(`trace agrees with the packets of ${TABLE.length} cases`, {}, async (played) => {
  const { lab, node, step } = played;
  const cast = await PolicyNode.make(lab, node);
  const play = async ({ world, probes }: PolicyCase) => {
    await cast.enter(world);
    const told = await Promise.all(probes.map(async (probe) => {
      const before = await trace(node, probe);
      const fate = await cast.probe(probe.from, probe.to, probe.service);
      const after = await trace(node, probe, fate.srcPort);
      const packet = describeProbe(probe, fate.verdict, fate.rule);
      for (const traced of [before, after]) {
        const { verdict, rule } = verdictOf(traced);
        assert.equal(describeProbe(probe, VERDICTS[verdict] ?? "", rule), packet);
      }
      assertExplained(probe, before);
      assert.equal(verdictOf(before).established, false);
      assert.equal(verdictOf(after).established, fate.verdict !== "deny", packet);
      return packet;
    }));
    assert.equal(told.length, probes.length);
  };
  for (const one of TABLE) await step(`${one.topic}: ${one.what}`, () => play(one));
});
