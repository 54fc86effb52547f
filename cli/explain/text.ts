import type {
  AllowedPeers,
  DirectionPolicy,
  ExplainPolicyResponse,
  PortName,
  PortRange,
  RuleExplanation,
} from "../../shared/gen/novanet/ext/v1/policy_explain_pb.ts";
import { ExplainPolicyResponseSchema } from "../../shared/gen/novanet/ext/v1/policy_explain_pb.ts";
import type { RuleSource } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/ip_protocol.ts";
import type { JsonValue } from "../json.ts";
import * as labels from "../labels.ts";
import { messageJson } from "../message_json.ts";
import type { TextLine } from "../output.ts";

type Direction = "ingress" | "egress";

/** The whole answer. */
export function explanationJson(answer: ExplainPolicyResponse): JsonValue {
  return messageJson(ExplainPolicyResponseSchema, answer);
}

/** The answer for people. */
export function explanationLines({ pod, ingress, egress }: ExplainPolicyResponse): TextLine[] {
  const name = labels.podLabel(pod?.namespace ?? "", pod?.pod ?? "");
  const of = `${pod?.ip}, identity ${pod?.identityId} (${labels.labelsLabel(pod?.labels ?? {})})`;
  return [
    { text: `Pod ${name} ${of}` },
    { text: "" },
    ...(ingress ? directionLines("ingress", ingress) : []),
    { text: "" },
    ...(egress ? directionLines("egress", egress) : []),
  ];
}

function directionLines(direction: Direction, policy: DirectionPolicy): TextLine[] {
  const { isolatedBy, auditedBy, mode, otherwise, otherwiseRule, rules } = policy;
  const title = direction === "ingress" ? "Ingress" : "Egress";
  const lines: TextLine[] = [{ text: `${title}: ${stateText(policy)}` }];
  lines.push(...isolatedBy.map((source) => ({ text: `  isolated by ${policyText(source)}` })));
  const idle = mode === "audit" ? "" : ", without effect: " +
    (mode === "enforce" ? "others isolate" : "the default denies");
  lines.push(...auditedBy.map((source): TextLine => ({
    text: `  audited by ${policyText(source)}${idle}`,
    color: "yellow",
  })));
  lines.push(...rules.flatMap((rule) => ruleLines(direction, rule)));
  const side = direction === "ingress" ? "from" : "to";
  lines.push({ text: "  rule node" }, { text: `    ${side} the node: always allowed` });
  const color = labels.verdictColor(otherwise);
  lines.push({ text: `  otherwise ${labels.verdictLabel(otherwise)} by ${otherwiseRule}`, color });
  return lines;
}

function stateText({ mode, otherwise }: DirectionPolicy): string {
  switch (mode) {
    case "enforce":
      return "isolated, only what a rule allows passes";
    case "audit":
      return "audited, everything passes and what no rule allows is reported";
    default:
      return otherwise === PolicyAction.DENY
        ? "no policy isolates it, the cluster's default denies"
        : "no policy isolates it, everything is allowed";
  }
}

function policyText({ namespace, name, file, line }: RuleSource): string {
  return `${namespace}/${name}, ${file}:${line}`;
}

function ruleLines(direction: Direction, explanation: RuleExplanation): TextLine[] {
  const { rule, source, allows, absentPorts } = explanation;
  const where = source === undefined ? "" : `, ${source.file}:${source.line}`;
  const none = allows.length + absentPorts.length === 0
    ? [{ text: "    nobody: no pod matches it now" }]
    : [];
  return [
    { text: `  rule ${rule}${where}` },
    ...none,
    ...allows.flatMap((allowed) => peerLines(direction, allowed)),
    ...absentPorts.map((port): TextLine => ({
      text: `    port ${portNameText(port)}: ${
        direction === "ingress" ? "this pod has no port" : "no pod that matches has a port"
      } of that name`,
      color: "yellow",
    })),
  ];
}

function peerLines(
  direction: Direction,
  { anyone, pods, blocks, ports }: AllowedPeers,
): TextLine[] {
  const peers = [
    ...(anyone ? ["everybody"] : []),
    ...pods.map(({ namespace, labels: theirs, names }) =>
      `pods ${namespace} ${labels.labelsLabel(theirs)}: ${names.join(", ") || "none now"}`
    ),
    ...blocks.map(({ cidr, except }) =>
      except.length === 0 ? cidr : `${cidr} except ${except.join(", ")}`
    ),
  ];
  const side = direction === "ingress" ? "from" : "to  ";
  return [
    ...peers.map((peer, index) => ({ text: `    ${index === 0 ? side : "    "} ${peer}` })),
    { text: `    port ${portsText(ports)}` },
  ];
}

/** Such as `http`, or `dns UDP`. */
function portNameText({ protocol, name }: PortName): string {
  return protocol === IpProtocol.TCP ? name : `${name} ${labels.protocolLabel(protocol)}`;
}

function portsText(ports: readonly PortRange[]): string {
  if (ports.length === 0) return "all protocols and ports";
  return ports.map(({ protocol, fromPort, toPort }) => {
    const name = labels.protocolLabel(protocol);
    if (fromPort <= 1 && toPort === 65535) return `${name} all`;
    return fromPort === toPort ? `${name} ${fromPort}` : `${name} ${fromPort}-${toPort}`;
  }).join(", ");
}
