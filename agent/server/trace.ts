import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AgentExtTracePacketRequest,
  type AgentExtTracePacketResponseSchema,
  RuleSourceSchema,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { ReservedIdentity } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4, NetParseError } from "../../shared/net/mod.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { AgentParts } from "./parts.ts";
import { parsePodRef, readyPod } from "./pod_ref.ts";
import { ruleSources } from "./rule_sources.ts";
import { type End, endOfPod } from "./trace_end.ts";

const DOTTED = /^[0-9.]+$/;
/** What stands for this node where a pod or an address is asked for. */
const NODE = "node";

/**
 * Answers TracePacket: the dataplane's way of a packet, between ends that people name.
 * @throws {RpcError} INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE
 */
export async function tracePacket(
  parts: AgentParts,
  request: AgentExtTracePacketRequest,
): Promise<MessageInitShape<typeof AgentExtTracePacketResponseSchema>> {
  const { protocol, srcPort, dstPort, findConnections } = request;
  const from = resolve(parts, "from", request.from);
  const to = resolve(parts, "to", request.to);
  checkSender(from.ip);
  const packet = {
    srcIp: Ipv4.parse(from.ip).value,
    dstIp: Ipv4.parse(to.ip).value,
    protocol,
    srcPort,
    dstPort,
    findConnections,
  };
  const trace = await parts.link.callNow((calls) => calls.ext.tracePacket(packet));
  for (const step of trace.steps) {
    step.rule = ruleName(parts, step.ruleId, step.rule);
    step.sources = ruleSources(step.rule, parts.enforcer.snapshot)
      .map((source) => create(RuleSourceSchema, source));
  }
  for (const verdict of [trace.verdict, ...trace.connections.map(({ verdict }) => verdict)]) {
    if (verdict !== undefined) verdict.rule = ruleName(parts, verdict.ruleId, verdict.rule);
  }
  return { from, to, trace };
}

/** A dataplane that was started anew has not heard all names yet. */
function ruleName({ enforcer }: AgentParts, ruleId: number, known: string): string {
  return known === "" && ruleId !== 0 ? enforcer.ruleName(ruleId) ?? "" : known;
}

/** Whom a text names: a pod of this node, the node, or an address. */
function resolve(parts: AgentParts, field: string, text: string): End {
  if (text === "") throw invalidArgument(field, text, "must not be empty");
  if (text.includes(":")) throw invalidArgument(field, text, "IPv6 is not carried");
  if (DOTTED.test(text)) return endOfAddress(parts, parseAddress(field, text));
  const { registry, config } = parts;
  const isNode = text === NODE && registry.byPod("default", NODE).length === 0;
  if (isNode) return endOfAddress(parts, config.nodeIp);
  return endOfPod(parts, readyPod(registry, field, parsePodRef(field, text)));
}

function parseAddress(field: string, text: string): Ipv4 {
  try {
    return Ipv4.parse(text);
  } catch (error) {
    if (!(error instanceof NetParseError)) throw error;
    throw invalidArgument(field, text, error.why, { cause: error });
  }
}

function endOfAddress(parts: AgentParts, ip: Ipv4): End {
  const pod = parts.registry.byIp(ip.value);
  if (pod !== undefined) return endOfPod(parts, pod);
  return parts.isHostAddress(ip.value)
    ? { ip: ip.toString(), kind: "node", identityId: ReservedIdentity.HOST }
    : { ip: ip.toString(), kind: "outside", identityId: ReservedIdentity.WORLD };
}

/** What nobody sends from would only show what no packet meets. */
function checkSender(ip: string): void {
  const first = Number(ip.split(".")[0]);
  if (first !== 0 && first !== 127 && first < 224) return;
  throw invalidArgument("from", ip, "nobody sends from this address");
}
