/**
 * What Kubernetes' documentation says about NetworkPolicy, as directly as it can be written down:
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/ and the field
 * descriptions of networking.k8s.io/v1; and what docs/troubleshooting.md says about the annotation
 * `novanet.io/mode: audit`. It works on the objects as JSON has them, asks one question at a time,
 * and shares no code with the compiler.
 */

/** A label selector as written. */
export interface RawSelector {
  matchLabels?: Record<string, string> | null;
  matchExpressions?: { key: string; operator: string; values?: string[] | null }[] | null;
}

/** A peer as written. */
export interface RawPeer {
  podSelector?: RawSelector;
  namespaceSelector?: RawSelector;
  ipBlock?: { cidr: string; except?: string[] | null };
}

/** A port as written. */
export interface RawPort {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

/** A NetworkPolicy as written, without apiVersion and kind. */
export interface RawPolicy {
  metadata: { namespace: string; name: string; annotations?: Record<string, string> };
  spec: {
    podSelector: RawSelector;
    policyTypes?: string[] | null;
    ingress?: { from?: RawPeer[] | null; ports?: RawPort[] | null }[] | null;
    egress?: { to?: RawPeer[] | null; ports?: RawPort[] | null }[] | null;
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
  /** Whether a pod that no policy isolates is closed; Kubernetes' own default is that it is not. */
  defaultDeny?: boolean;
}

/** What becomes of a packet that opens a connection. */
export type Verdict = "allow" | "deny" | "audit";

/** What one end's policies say, or both ends' together. */
export interface Answer {
  verdict: Verdict;
  /** The names under which flows may give the reason. */
  rules: string[];
}

type Direction = "ingress" | "egress";
type Rule = { peers: RawPeer[] | null | undefined; ports: RawPort[] | null | undefined };

/**
 * What becomes of a connection. "For a connection from a source pod to a destination pod to be
 * allowed, both the egress policy on the source pod and the ingress policy on the destination pod
 * need to allow the connection."
 */
export function decide(
  cluster: ModelCluster,
  from: ModelEnd,
  to: ModelEnd,
  protocol: string,
  port: number,
): Answer {
  const ends: Answer[] = [];
  if ("pod" in from) ends.push(answer(cluster, "egress", from.pod, to, to, protocol, port));
  if ("pod" in to) ends.push(answer(cluster, "ingress", to.pod, from, to, protocol, port));
  const with_ = (verdict: Verdict) => ends.find((end) => end.verdict === verdict);
  // A flow that passes is told with the reason of the end that it comes to.
  return with_("deny") ?? with_("audit") ?? ends.at(-1) ?? { verdict: "allow", rules: [] };
}

/** What the policies of one direction say for the pod that they apply to. */
function answer(
  cluster: ModelCluster,
  direction: Direction,
  pod: ModelPod,
  peer: ModelEnd,
  destination: ModelEnd,
  protocol: string,
  port: number,
): Answer {
  const applying = cluster.policies.filter((policy) =>
    policy.metadata.namespace === pod.namespace &&
    matchesSelector(policy.spec.podSelector, pod.labels) && types(policy).includes(direction)
  );
  const enforced = applying.filter((policy) => !isAudit(policy));
  const audited = applying.filter(isAudit);
  // "By default, a pod is non-isolated"; then what is only audited has a say.
  const inForce = enforced.length > 0 ? enforced : cluster.defaultDeny ? [] : audited;
  const rules = inForce.flatMap((policy) =>
    rulesOf(policy, direction).flatMap((rule, i) =>
      matchesPeers(cluster, policy, rule.peers, peer) &&
        matchesPorts(rule.ports, destination, protocol, port)
        ? [`${nameOf(policy)}:${direction}[${i}]`]
        : []
    )
  );
  // "Traffic to and from the node where a Pod is running is always allowed."
  if ("node" in peer) rules.push("node");
  if (rules.length > 0) return { verdict: "allow", rules };
  const names = inForce.map(nameOf).sort().join(",");
  if (enforced.length > 0) {
    return { verdict: "deny", rules: [`${names}:${direction}[default-deny]`] };
  }
  if (cluster.defaultDeny) return { verdict: "deny", rules: ["default-deny"] };
  if (audited.length > 0) return { verdict: "audit", rules: [`${names}:${direction}[audit]`] };
  return { verdict: "allow", rules: ["default-allow"] };
}

function nameOf({ metadata }: RawPolicy): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function isAudit({ metadata }: RawPolicy): boolean {
  return metadata.annotations?.["novanet.io/mode"] === "audit";
}

/** "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set
 * and Egress will be set if the NetworkPolicy has any egress rules." */
function types({ spec }: RawPolicy): string[] {
  const given = spec.policyTypes ?? [];
  if (given.length > 0) return given.map((type) => type.toLowerCase());
  return (spec.egress ?? []).length > 0 ? ["ingress", "egress"] : ["ingress"];
}

function rulesOf({ spec }: RawPolicy, direction: Direction): Rule[] {
  return direction === "ingress"
    ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
    : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
}

/** "If this field is empty or missing, this rule matches all sources." */
function matchesPeers(
  cluster: ModelCluster,
  policy: RawPolicy,
  peers: Rule["peers"],
  end: ModelEnd,
): boolean {
  if (peers === undefined || peers === null || peers.length === 0) return true;
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
  ports: Rule["ports"],
  destination: ModelEnd,
  protocol: string,
  port: number,
): boolean {
  if (ports === undefined || ports === null || ports.length === 0) return true;
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
    (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
      const value = labelOf(labels, key);
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      const isOneOf = value !== undefined && (values ?? []).includes(value);
      return operator === "In" ? isOneOf : !isOneOf;
    });
}

/** `constructor` is a label key like any other. */
function labelOf(labels: Record<string, string>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function isIn(address: string, cidr: string): boolean {
  if (cidr.includes(":")) return false;
  const [network = "", length = ""] = cidr.split("/");
  const count = Number(length);
  return bits(address).slice(0, count) === bits(network).slice(0, count);
}

function bits(address: string): string {
  return address.split(".").map((octet) => Number(octet).toString(2).padStart(8, "0")).join("");
}
