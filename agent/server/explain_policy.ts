import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  AllowedPeersSchema,
  DirectionPolicySchema,
  ExplainPolicyRequest,
  ExplainPolicyResponseSchema,
  PeerPodsSchema,
  PortNameSchema,
  PortRangeSchema,
} from "../../shared/gen/novanet/ext/v1/policy_explain_pb.ts";
import { PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ownLabels } from "../flows/label_sets.ts";
import { labelKey, type Labels } from "../identity/mod.ts";
import {
  type AllowExplanation,
  type DirectionExplanation,
  isolationName,
  type NamedPort,
  type NetworkPolicyObject,
  parseNamedPortsLabel,
  type PolicyOrigin,
  type PolicyPort,
  PORTS_LABEL,
} from "../policy/mod.ts";
import type { AgentParts } from "./parts.ts";
import { readyPod } from "./pod_ref.ts";
import type { RuleSource } from "./rule_sources.ts";
import { endOfPod } from "./trace_end.ts";

type Direction = "ingress" | "egress";
type Peers = MessageInitShape<typeof AllowedPeersSchema>;
type Pods = MessageInitShape<typeof PeerPodsSchema> & {
  readonly namespace: string;
  readonly labels: Labels;
};
type PortName = MessageInitShape<typeof PortNameSchema>;
type Range = MessageInitShape<typeof PortRangeSchema>;

const LAST_PORT = 65_535;

/**
 * Answers ExplainPolicy: the rules in force for a pod, with the peers that they have now.
 * @throws {RpcError} NOT_FOUND, FAILED_PRECONDITION
 */
export function explainPolicy(
  parts: AgentParts,
  request: ExplainPolicyRequest,
): MessageInitShape<typeof ExplainPolicyResponseSchema> {
  const pod = readyPod(parts.registry, "pod", request);
  const { ingress, egress } = parts.enforcer.explain(parts.registry.identityId(pod));
  const label = pod.identityLabels[PORTS_LABEL];
  const own = label === undefined ? [] : parseNamedPortsLabel(label);
  return {
    pod: endOfPod(parts, pod),
    ingress: directionPolicy(parts, "ingress", ingress, own),
    egress: directionPolicy(parts, "egress", egress, own),
  };
}

function directionPolicy(
  parts: AgentParts,
  direction: Direction,
  explanation: DirectionExplanation,
  own: readonly NamedPort[],
): MessageInitShape<typeof DirectionPolicySchema> {
  const { isolatedBy, auditedBy, mode, allows } = explanation;
  const counting = mode === "enforce" ? isolatedBy : mode === "audit" ? auditedBy : [];
  const denies = parts.config.values["policy.default_deny"];
  const rules = counting.flatMap((origin) => {
    const policy = parts.enforcer.snapshot.policies.get(keyOf(origin));
    if (policy === undefined) return [];
    return policy[direction].map((_, index) => {
      const { ports = [] } = policy[direction][index] ?? {};
      const rule = ruleOf(parts, policy, direction, index, allows);
      const ofNobody = absentPorts(ports, direction, rule.allows.length === 0, own);
      return { ...rule, absentPorts: ofNobody };
    });
  });
  return {
    isolatedBy: isolatedBy.map(sourceOf),
    auditedBy: auditedBy.map(sourceOf),
    mode: mode ?? "",
    ...(mode === undefined
      ? {
        otherwise: denies ? PolicyAction.DENY : PolicyAction.ALLOW,
        otherwiseRule: denies ? "default-deny" : "default-allow",
      }
      : {
        otherwise: mode === "audit" ? PolicyAction.AUDIT : PolicyAction.DENY,
        otherwiseRule: isolationName(counting.map(keyOf), direction, mode),
      }),
    rules,
  };
}

function ruleOf(
  parts: AgentParts,
  policy: NetworkPolicyObject,
  direction: Direction,
  index: number,
  allows: readonly AllowExplanation[],
) {
  const rule = `${keyOf(policy)}:${direction}[${index}]`;
  const { line = policy.source.line, peers = [] } = policy[direction][index] ?? {};
  const mine = allows.filter(({ origins }) => origins.some((origin) => origin.rule === rule));
  const blocks = peers.filter((peer) => peer.kind === "block").map(({ cidr, except }) => ({
    cidr: cidr.toString(),
    except: except.map(String),
  }));
  return {
    rule,
    source: { ...sourceOf(policy), line },
    allows: peersByPorts(mine).map(([ports, allowed]): Peers => ({
      anyone: allowed.some(({ peer }) => peer === 0),
      pods: allowed.filter(({ pods }) => pods !== undefined).map((one) => podsOf(parts, one))
        .toSorted((a, b) => textOf(a) < textOf(b) ? -1 : 1),
      // As they are written: what the compiler makes of them is theirs and other rules' ranges.
      blocks: allowed.some(({ cidr }) => cidr !== undefined) ? blocks : [],
      ports,
    })),
  };
}

/** The ports that a rule names and nobody has whom they could be of: the pod itself, or the rule's peers. */
function absentPorts(
  ports: readonly PolicyPort[],
  direction: Direction,
  allowsNobody: boolean,
  own: readonly NamedPort[],
): PortName[] {
  const named = ports.flatMap(({ protocol, match }) =>
    match.kind === "named" ? [{ protocol, name: match.name }] : []
  );
  const absent = named.filter(({ protocol, name }) =>
    direction === "ingress"
      ? !own.some((port) => port.protocol === protocol && port.name === name)
      : allowsNobody
  );
  // Else it is that no pod matches: of another port they would be peers.
  return !allowsNobody || absent.length === ports.length ? absent : [];
}

/** Peers that have the same ports, together. */
function peersByPorts(
  allows: readonly AllowExplanation[],
): [ports: Range[], allowed: AllowExplanation[]][] {
  const byPeer = Map.groupBy(allows, ({ peer }) => peer);
  const groups = Map.groupBy(byPeer.values(), (ofPeer) => JSON.stringify(rangesOf(ofPeer)));
  return [...groups.values()].map((peers) => [
    rangesOf(peers[0] ?? []),
    peers.flatMap((ofPeer) => ofPeer.slice(0, 1)),
  ]);
}

/** The ports of some combinations, side by side ones as one range; none: all protocols. */
function rangesOf(allows: readonly AllowExplanation[]): Range[] {
  if (allows.some(({ protocol }) => protocol === 0)) return [];
  const sorted = allows.toSorted((a, b) => a.protocol - b.protocol || a.fromPort - b.fromPort);
  const ranges: { protocol: number; fromPort: number; toPort: number }[] = [];
  for (const { protocol, fromPort, toPort } of sorted) {
    const last = ranges.at(-1);
    if (last?.protocol === protocol && fromPort <= last.toPort + 1) {
      last.toPort = Math.max(last.toPort, toPort);
    } else ranges.push({ protocol, fromPort, toPort });
  }
  return ranges.map((range) =>
    range.toPort === LAST_PORT && range.fromPort === 0 ? { ...range, fromPort: 1 } : range
  );
}

function textOf({ namespace, labels }: Pods): string {
  return `${namespace} ${labelKey(labels)}`;
}

function podsOf({ registry }: AgentParts, { peer, pods }: AllowExplanation): Pods {
  const named = registry.list().filter((pod) => registry.identityId(pod) === peer);
  return {
    namespace: pods?.namespace ?? "",
    labels: ownLabels(Object.fromEntries(pods?.labels ?? [])),
    names: [...new Set(named.map(({ podName }) => podName))].sort(),
  };
}

function keyOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

function sourceOf({ namespace, name, source }: PolicyOrigin): RuleSource {
  return { namespace, name, file: source.file, line: source.line };
}
