import {
  type AgentExtTracePacketResponse,
  type RuleSource,
  type TraceConnection,
  TraceConnectionSchema,
  TraceDelivery,
  type TraceEnd,
  TraceEndSchema,
  TraceStage,
  type TraceStep,
  TraceStepSchema,
  type TraceVerdict,
  TraceVerdictSchema,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts, ipProtocolName } from "../../shared/net/ip_protocol.ts";
import { agentExt } from "../agent.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import type { JsonValue } from "../json.ts";
import * as labels from "../labels.ts";
import { messageJson } from "../message_json.ts";
import type { OptionsOf } from "../options.ts";
import { printText, type TextLine } from "../output.ts";

type TraceOptions = OptionsOf<"trace">;

const ICMP = 1;
/** Columns before a step's text. */
const INDENT = " ".repeat(15);

/** `trace` @throws {CliError} */
export async function trace(options: TraceOptions, io: Io): Promise<void> {
  checkPacket(options);
  using agent = agentExt(options);
  const { from, to, protocol, port: dstPort = 0, sourcePort: srcPort = 0 } = options;
  const packet = { protocol, srcPort, dstPort };
  const answer = await agent.tracePacket({ from, to, ...packet, findConnections: true });
  await printText(io, options, traceLines(options, answer), traceJson(options, answer));
}

/** @throws {CliError} that names flag and value */
function checkPacket({ protocol, port, sourcePort }: TraceOptions): void {
  const name = ipProtocolName(protocol);
  const wrong = (why: string) => new CliError(ExitCode.USAGE, why);
  if (hasPorts(protocol)) {
    if (port === undefined) throw wrong(`--port: ${name} needs one, from 1 to 65535`);
    return;
  }
  if (port !== undefined) throw wrong(`--port ${port}: ${name} has no ports`);
  if (sourcePort !== undefined && protocol !== ICMP) {
    throw wrong(`--source-port ${sourcePort}: ${name} has no ports`);
  }
}

/** The whole answer; the verdict's parts stand on the outside. */
function traceJson(
  { protocol, port = 0, sourcePort = 0 }: TraceOptions,
  { from, to, trace }: AgentExtTracePacketResponse,
): JsonValue {
  return {
    from: from ? messageJson(TraceEndSchema, from) : null,
    to: to ? messageJson(TraceEndSchema, to) : null,
    protocol,
    protocol_name: labels.protocolLabel(protocol),
    port,
    source_port: sourcePort,
    ...(trace?.verdict ? messageJson(TraceVerdictSchema, trace.verdict) : {}),
    steps: trace?.steps.map((step) => messageJson(TraceStepSchema, step)) ?? [],
    connections: trace?.connections.map(connectionJson) ?? [],
    connection_count: trace?.connectionCount ?? 0,
    policy_generation: trace?.policyGeneration ?? 0,
    evaluation_generation: trace?.evaluationGeneration ?? 0,
  };
}

function connectionJson(connection: TraceConnection): JsonValue {
  const { verdict: _, ...rest } = messageJson(TraceConnectionSchema, connection);
  const { verdict } = connection;
  return { ...rest, ...(verdict ? messageJson(TraceVerdictSchema, verdict) : {}) };
}

function traceLines(options: TraceOptions, answer: AgentExtTracePacketResponse): TextLine[] {
  const { from, to, trace } = answer;
  if (trace?.verdict === undefined) return [];
  return [
    { text: `From    ${endText(from)}` },
    { text: `To      ${endText(to)}` },
    { text: `Packet  ${packetText(options)}` },
    { text: "" },
    ...trace.steps.flatMap(stepLines),
    { text: "" },
    ...connectionLines(trace.connections, trace.connectionCount),
    { text: verdictText(trace.verdict), color: labels.verdictColor(trace.verdict.verdict) },
  ];
}

function endText(end: TraceEnd | undefined): string {
  if (end === undefined) return "-";
  const { ip, kind, namespace, pod, identityId } = end;
  const who = kind === "pod" ? `pod ${labels.podLabel(namespace, pod)}` : kind;
  const what = kind === "pod" ? ` (${labels.labelsLabel(end.labels)})` : "";
  return `${who} ${ip}, identity ${identityId}${what}`;
}

function packetText({ protocol, port, sourcePort }: TraceOptions): string {
  const name = labels.protocolLabel(protocol);
  const what = protocol === ICMP ? `${name} echo request` : name;
  const from = sourcePort === undefined
    ? ""
    : protocol === ICMP
    ? ` with identifier ${sourcePort}`
    : ` from port ${sourcePort}`;
  return `${what}${from}${port === undefined ? "" : ` to port ${port}`}`;
}

function stepLines(step: TraceStep, index: number): TextLine[] {
  const { stage, text, map, key, value, dropReason, decided, rule, ruleId, sources } = step;
  const number = String(index + 1).padStart(2);
  const drops = dropReason !== DropReason.NONE;
  const lines: TextLine[] = [
    {
      text: `${number}  ${(TraceStage[stage] ?? "").padEnd(11)}${text}`,
      color: drops ? "red" : "none",
    },
  ];
  if (map !== "") lines.push({ text: `${INDENT}${map}[${key}]: ${value || "no entry"}` });
  if (decided) {
    const where = sources.length === 0 ? "" : `, ${sources.map(sourceText).join(", ")}`;
    lines.push({ text: `${INDENT}rule ${rule || ruleId}${where}` });
  }
  if (drops) lines.push({ text: `${INDENT}drops: ${labels.dropReasonLabel(dropReason)}` });
  return lines;
}

function sourceText({ file, line }: RuleSource): string {
  return `${file}:${line}`;
}

function connectionLines(told: readonly TraceConnection[], count: number): TextLine[] {
  if (count === 0) return [];
  const more = count > told.length ? `, the first ${told.length}` : "";
  return [
    { text: `Living connections between the same ends: ${count}${more}` },
    ...told.map(({ srcPort, state, generation, current, verdict }): TextLine => ({
      text: `${INDENT}from ${srcPort}: ${state}, decided under generation ${generation}` +
        `${current ? "" : ", judged again"}; its next packet: ${
          verdict ? verdictText(verdict) : ""
        }`,
    })),
    { text: "" },
  ];
}

const DELIVERIES: Readonly<Record<TraceDelivery, string>> = {
  [TraceDelivery.UNSPECIFIED]: "",
  [TraceDelivery.DROPPED]: "",
  [TraceDelivery.POD]: "into the pod",
  [TraceDelivery.NODE]: "to the node",
  [TraceDelivery.ROUTED]: "routed on by the node",
  [TraceDelivery.UNSEEN]: "not through NovaNet",
};

/** Such as `DENY POLICY_DENIED by shop/web:ingress[default-deny]` or `ALLOW by node, into the pod`. */
function verdictText(verdict: TraceVerdict): string {
  const { dropReason, rule, ruleId, delivery } = verdict;
  const reason = dropReason === DropReason.NONE ? "" : ` ${labels.dropReasonLabel(dropReason)}`;
  const by = ruleId === 0 ? "" : ` by ${rule || `rule ${ruleId}`}`;
  const where = DELIVERIES[delivery] === "" ? "" : `, ${DELIVERIES[delivery]}`;
  return `${labels.verdictLabel(verdict.verdict)}${reason}${by}${where}`;
}
