import type {
  GetPodFlowsResponse,
  PodFlow,
  PodSelection,
} from "../../shared/gen/novanet/ext/v1/pod_flows_pb.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import type { JsonValue } from "../json.ts";
import { protocolLabel } from "../labels.ts";

const MOST_NAME_CHARACTERS = 253;

/**
 * The networking.k8s.io/v1 NetworkPolicy that allows the flows and no others, in both directions: one rule for the peers
 * that have the same ports. Pure.
 *
 * @param name of the pod that was asked for
 * @param flows those that a policy can name, see isNameable
 */
export function networkPolicy(
  name: string,
  { pods }: GetPodFlowsResponse,
  flows: readonly PodFlow[],
): JsonValue {
  const of = (direction: PolicyDirection) => flows.filter((flow) => flow.direction === direction);
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: {
      name: `seen-${name}`.slice(0, MOST_NAME_CHARACTERS).replace(/[.-]+$/, ""),
      namespace: pods?.namespace ?? "",
    },
    spec: {
      podSelector: selector(pods),
      policyTypes: ["Ingress", "Egress"],
      ingress: rules("from", of(PolicyDirection.INGRESS)),
      egress: rules("to", of(PolicyDirection.EGRESS)),
    },
  };
}

/** Whether a NetworkPolicy can allow a flow and nothing beside it: it names ports of TCP, UDP and SCTP alone. */
export function isNameable({ protocol, port }: PodFlow): boolean {
  return hasPorts(protocol) && port > 0;
}

/** Peers with the same ports share a rule. */
function rules(side: "from" | "to", flows: readonly PodFlow[]): JsonValue[] {
  const byPeer = Map.groupBy(flows, (flow) => JSON.stringify(peerOf(flow)));
  const byPorts = Map.groupBy(byPeer, ([, ofPeer]) => JSON.stringify(portsOf(ofPeer)));
  return [...byPorts].map(([ports, peers]) => ({
    [side]: peers.map(([peer]): JsonValue => JSON.parse(peer)),
    ports: JSON.parse(ports) as JsonValue,
  }));
}

function peerOf({ ip, pods }: PodFlow): JsonValue {
  if (pods === undefined) return { ipBlock: { cidr: `${ip}/32` } };
  return {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": pods.namespace } },
    podSelector: selector(pods),
  };
}

function portsOf(flows: readonly PodFlow[]): JsonValue[] {
  return flows.toSorted((a, b) => a.protocol - b.protocol || a.port - b.port)
    .map(({ protocol, port }) => ({ protocol: protocolLabel(protocol), port }));
}

function selector(pods: PodSelection | undefined): JsonValue {
  const { labels = {}, absentKeys = [] } = pods ?? {};
  const expressions = absentKeys.map((key) => ({ key, operator: "DoesNotExist" }));
  return {
    ...(Object.keys(labels).length > 0 ? { matchLabels: labels } : {}),
    ...(expressions.length > 0 ? { matchExpressions: expressions } : {}),
  };
}
