import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { TraceVerdict } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason, PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ipProtocolNumber } from "../../shared/net/ip_protocol.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import type { Fate, PolicyNode } from "../policy/policy_node.ts";
import { describeProbe, type Probe } from "../policy/table.ts";

const VERDICTS: Readonly<Record<number, string>> = {
  [PolicyAction.ALLOW]: "allow",
  [PolicyAction.AUDIT]: "audit",
  [PolicyAction.DENY]: "deny",
};

/** What `trace` is asked: the packet of a probe, or another between the same ends. */
export type Question =
  & Pick<Probe, "from" | "to" | "protocol" | "port">
  & { readonly srcPort?: number | undefined };

/** How a probe is played. */
export interface WitnessOptions {
  /** Whether the novanetctl of dist/ is asked too, which takes a process. */
  readonly byCli: boolean;
}

/**
 * Sends a probe, and asks `trace` about its packet before, by the pods' names and by their addresses,
 * and about its connection's next packet after.
 * @returns what the packet met
 * @throws {AssertionError} when trace does not say just that, or not where it is written
 */
export async function witness(
  node: LabNode,
  cast: PolicyNode,
  probe: Probe,
  { byCli }: WitnessOptions,
): Promise<Fate> {
  const before = await askTrace(node, probe);
  const [from, to] = [probe.from, probe.to].map((name) => cast.party(name).ip) as [string, string];
  const byAddress = await askTrace(node, { ...probe, from, to });
  const cli = byCli ? await askCli(node, probe) : undefined;
  const fate = await cast.probe(probe.from, probe.to, probe.service);
  const after = await askTrace(node, { ...probe, srcPort: fate.srcPort });
  const packet = describeProbe(probe, fate.verdict, fate.rule);
  for (const { verdict } of [before, after]) {
    assert.equal(describeProbe(probe, ...verdictOf(verdict)), packet, "what trace tells");
  }
  assertExplained(packet, before);
  // Not the steps: entries of the world before may still be going, and cost the first one a lookup.
  assert.deepEqual(
    [byAddress.ends, byAddress.verdict],
    [before.ends, before.verdict],
    `${packet}: by addresses`,
  );
  assert.equal(before.verdict.established, false, packet);
  assert.equal(after.verdict.established, fate.verdict !== "deny", packet);
  if (cli !== undefined) assertToldAlike(packet, cli, before);
  return fate;
}

/** Asks the agent. @returns its answer, which has a verdict */
export async function askTrace(node: LabNode, question: Question) {
  const { from, to, port: dstPort, srcPort = 0 } = question;
  const protocol = ipProtocolNumber(question.protocol) ?? 0;
  const request = { from, to, protocol, srcPort, dstPort };
  const answer = await node.client(AgentExt, "novanet.sock").tracePacket(request);
  assert(answer.trace?.verdict);
  return {
    ends: [answer.from, answer.to],
    steps: answer.trace.steps,
    verdict: answer.trace.verdict,
  };
}

type Told = Awaited<ReturnType<typeof askTrace>>;

/** A verdict as the table writes it, and its rule. */
export function verdictOf({ verdict, rule }: TraceVerdict): [verdict: string, rule: string] {
  return [VERDICTS[verdict] ?? "", rule];
}

/** What the tests read of `novanetctl trace -o json`. */
interface CliAnswer {
  readonly from: { readonly ip: string };
  readonly to: { readonly ip: string };
  readonly verdict: string;
  readonly rule: string;
  readonly drop_reason: string;
  readonly established: boolean;
  readonly steps: readonly { readonly decided: boolean; readonly rule: string }[];
}

async function askCli(node: LabNode, { from, to, protocol, port }: Probe): Promise<CliAnswer> {
  const ports = port === 0 ? [] : ["--port", `${port}`];
  const ends = ["--from", from, "--to", to, "--protocol", protocol.toLowerCase()];
  return JSON.parse(await node.ctl("trace", ...ends, ...ports, "-o", "json")) as CliAnswer;
}

/** The program tells what the agent does. */
function assertToldAlike(packet: string, cli: CliAnswer, { ends, verdict }: Told): void {
  const { rule, dropReason, established } = verdict;
  assert.deepEqual(
    [cli.from.ip, cli.to.ip, cli.verdict, cli.rule, cli.drop_reason, cli.established],
    [
      ...ends.map((end) => end?.ip),
      PolicyAction[verdict.verdict],
      rule,
      DropReason[dropReason],
      established,
    ],
    `${packet}: novanetctl`,
  );
  assert(cli.steps.some((step) => step.decided && step.rule === rule), `${packet}: novanetctl`);
}

/** The step that decided names the rule of the verdict, its map entry, and the place where it is written. */
function assertExplained(
  packet: string,
  { steps, verdict }: Told,
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
