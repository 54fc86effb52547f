import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { TracePacketResponse } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason, PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ipProtocolNumber } from "../../shared/net/ip_protocol.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import type { Fate } from "../policy/policy_node.ts";
import { describeProbe, type Probe } from "../policy/table.ts";

const VERDICTS: Readonly<Record<number, string>> = {
  [PolicyAction.ALLOW]: "allow",
  [PolicyAction.AUDIT]: "audit",
  [PolicyAction.DENY]: "deny",
};

/**
 * Sends a probe, and asks `trace` about its packet before, and about its connection's next packet after.
 * @param meet sends the probe and says what it met
 * @returns what it met
 * @throws {AssertionError} when trace does not say just that, or not where it is written
 */
export async function witness(
  node: LabNode,
  probe: Probe,
  meet: () => Promise<Fate>,
): Promise<Fate> {
  const before = await trace(node, probe, 0);
  const fate = await meet();
  const after = await trace(node, probe, fate.srcPort);
  const packet = describeProbe(probe, fate.verdict, fate.rule);
  for (const { verdict } of [before, after]) {
    const told = describeProbe(probe, VERDICTS[verdict.verdict] ?? "", verdict.rule);
    assert.equal(told, packet, "what trace tells");
  }
  assertExplained(packet, before);
  assert.equal(before.verdict.established, false, packet);
  assert.equal(after.verdict.established, fate.verdict !== "deny", packet);
  return fate;
}

async function trace(node: LabNode, probe: Probe, srcPort: number) {
  const { from, to, port: dstPort } = probe;
  const protocol = ipProtocolNumber(probe.protocol) ?? 0;
  const request = { from, to, protocol, srcPort, dstPort };
  const { trace } = await node.client(AgentExt, "novanet.sock").tracePacket(request);
  assert(trace?.verdict);
  return { ...trace, verdict: trace.verdict };
}

/** The step that decided names the rule of the verdict, its map entry, and the place where it is written. */
function assertExplained(
  packet: string,
  { steps, verdict }: Pick<TracePacketResponse, "steps"> & Awaited<ReturnType<typeof trace>>,
): void {
  assert(verdict.rule !== "", packet);
  const step = steps.find(({ decided, rule }) => decided && rule === verdict.rule);
  assert(step, `${packet}: no step names the rule`);
  const isDefault = verdict.rule.startsWith("default-");
  assert.equal(step.map, isDefault ? "DATAPATH_STATE" : "POLICIES", packet);
  assert.equal(step.sources.length > 0, verdict.rule.includes("["), packet);
  for (const { file, line } of step.sources) assert(file.endsWith("world.yaml") && line > 0);
  if (verdict.verdict !== PolicyAction.DENY) return;
  assert.equal(steps.at(-1)?.dropReason, DropReason.POLICY_DENIED, packet);
}
