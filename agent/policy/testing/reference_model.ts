/**
 * What Kubernetes' documentation says about NetworkPolicy, as directly as it can be written down:
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/ and the field
 * descriptions of networking.k8s.io/v1. It works on the objects as JSON has them, asks one question
 * at a time, and shares no code with the compiler. For tests only.
 */

/** A label selector as written. */
export interface RawSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

/** A peer as written. */
export interface RawPeer {
  podSelector?: RawSelector;
  namespaceSelector?: RawSelector;
  ipBlock?: { cidr: string; except?: string[] };
}

/** A port as written. */
export interface RawPort {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

/** A NetworkPolicy as written, without apiVersion and kind. */
export interface RawPolicy {
  metadata: { namespace: string; name: string };
  spec: {
    podSelector: RawSelector;
    policyTypes?: string[];
    ingress?: { from?: RawPeer[]; ports?: RawPort[] }[];
    egress?: { to?: RawPeer[]; ports?: RawPort[] }[];
  };
}

/** A pod, with the named ports of its containers. */
export interface ModelPod {
  namespace: string;
  name: string;
  labels: Record<string, string>;
  ports: { name: string; protocol: string; port: number }[];
  ip: string;
}

/** One end of a connection. */
export type ModelEnd = { pod: ModelPod } | { address: string } | { node: string };

/** Everything that the answer depends on. */
export interface ModelCluster {
  /** Labels of the namespaces that have an object. */
  namespaces: Record<string, Record<string, string>>;
  policies: RawPolicy[];
}

/** Whether a connection is allowed: by the source's egress and by the destination's ingress. */
export function isAllowed(
  cluster: ModelCluster,
  from: ModelEnd,
  to: ModelEnd,
  protocol: string,
  port: number,
): boolean {
  // "Traffic to and from the node where a Pod is running is always allowed."
  if ("node" in from || "node" in to) return true;
  return isEgressAllowed(cluster, from, to, protocol, port) &&
    isIngressAllowed(cluster, from, to, protocol, port);
}

function isIngressAllowed(
  cluster: ModelCluster,
  from: ModelEnd,
  to: ModelEnd,
  protocol: string,
  port: number,
): boolean {
  if (!("pod" in to)) return true;
  const applying = cluster.policies.filter((policy) =>
    appliesTo(policy, to.pod) && types(policy).includes("Ingress")
  );
  // "By default, a pod is non-isolated for ingress; all inbound connections are allowed."
  if (applying.length === 0) return true;
  return applying.some((policy) =>
    (policy.spec.ingress ?? []).some((rule) =>
      matchesPeers(cluster, policy, rule.from, from) &&
      matchesPorts(rule.ports, to, protocol, port)
    )
  );
}

function isEgressAllowed(
  cluster: ModelCluster,
  from: ModelEnd,
  to: ModelEnd,
  protocol: string,
  port: number,
): boolean {
  if (!("pod" in from)) return true;
  const applying = cluster.policies.filter((policy) =>
    appliesTo(policy, from.pod) && types(policy).includes("Egress")
  );
  if (applying.length === 0) return true;
  return applying.some((policy) =>
    (policy.spec.egress ?? []).some((rule) =>
      matchesPeers(cluster, policy, rule.to, to) && matchesPorts(rule.ports, to, protocol, port)
    )
  );
}

function appliesTo(policy: RawPolicy, pod: ModelPod): boolean {
  return policy.metadata.namespace === pod.namespace &&
    matchesSelector(policy.spec.podSelector, pod.labels);
}

/** "If no policyTypes are specified then by default Ingress will always be set and Egress will be
 * set if the NetworkPolicy has any egress rules." */
function types(policy: RawPolicy): string[] {
  const { policyTypes, egress } = policy.spec;
  if (policyTypes !== undefined && policyTypes.length > 0) return policyTypes;
  return egress !== undefined && egress.length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

/** "If this field is empty or missing, this rule matches all sources." */
function matchesPeers(
  cluster: ModelCluster,
  policy: RawPolicy,
  peers: RawPeer[] | undefined,
  end: ModelEnd,
): boolean {
  if (peers === undefined || peers.length === 0) return true;
  return peers.some((peer) => matchesPeer(cluster, policy, peer, end));
}

function matchesPeer(
  cluster: ModelCluster,
  policy: RawPolicy,
  peer: RawPeer,
  end: ModelEnd,
): boolean {
  if (peer.ipBlock !== undefined) {
    const address = "pod" in end ? end.pod.ip : "address" in end ? end.address : end.node;
    return isIn(address, peer.ipBlock.cidr) &&
      !(peer.ipBlock.except ?? []).some((except) => isIn(address, except));
  }
  if (!("pod" in end)) return false;
  const { pod } = end;
  const inNamespace = peer.namespaceSelector === undefined
    ? pod.namespace === policy.metadata.namespace
    : matchesSelector(peer.namespaceSelector, {
      ...cluster.namespaces[pod.namespace],
      "kubernetes.io/metadata.name": pod.namespace,
    });
  return inNamespace &&
    (peer.podSelector === undefined || matchesSelector(peer.podSelector, pod.labels));
}

/** "If this field is empty or missing, this rule matches all ports." */
function matchesPorts(
  ports: RawPort[] | undefined,
  destination: ModelEnd,
  protocol: string,
  port: number,
): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some((wanted) => {
    if ((wanted.protocol ?? "TCP") !== protocol) return false;
    if (wanted.port === undefined) return true;
    if (typeof wanted.port === "number") {
      return port >= wanted.port && port <= (wanted.endPort ?? wanted.port);
    }
    return "pod" in destination &&
      destination.pod.ports.some((named) =>
        named.name === wanted.port && named.protocol === protocol && named.port === port
      );
  });
}

function matchesSelector(selector: RawSelector, labels: Record<string, string>): boolean {
  const labelsMatch = Object.entries(selector.matchLabels ?? {}).every(([key, value]) =>
    labelOf(labels, key) === value
  );
  return labelsMatch &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labelOf(labels, key);
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      const isOneOf = value !== undefined && values.includes(value);
      return operator === "In" ? isOneOf : !isOneOf;
    });
}

/** `constructor` is a label key like any other. */
function labelOf(labels: Record<string, string>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function isIn(address: string, cidr: string): boolean {
  const [network = "", length = ""] = cidr.split("/");
  const count = Number(length);
  return bits(address).slice(0, count) === bits(network).slice(0, count);
}

function bits(address: string): string {
  return address.split(".").map((octet) => Number(octet).toString(2).padStart(8, "0")).join("");
}
