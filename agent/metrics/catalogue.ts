/** What a metric's value means over time. */
export type MetricKind = "counter" | "gauge" | "histogram";

/** One metric: the single source for the registry and for docs/metrics.md. */
export interface MetricSpec {
  readonly kind: MetricKind;
  readonly labels: readonly string[];
  readonly help: string;
  /** How many series there can be at most, in words. */
  readonly bound: string;
}

const counter = (help: string, labels: readonly string[] = [], bound = "1"): MetricSpec => ({
  kind: "counter",
  labels,
  help,
  bound,
});
const gauge = (help: string, labels: readonly string[] = [], bound = "1"): MetricSpec => ({
  kind: "gauge",
  labels,
  help,
  bound,
});
const histogram = (help: string, labels: readonly string[] = [], bound = "1"): MetricSpec => ({
  kind: "histogram",
  labels,
  help,
  bound,
});

/** Most pairs of identities that novanet_flow_total tells apart; the rest counts as `other`. */
export const MAX_FLOW_PAIRS = 1000;

/** Every metric by name. Names from wire/novanet.md section 11 first, then our own. */
export const METRICS = {
  novanet_flow_total: counter(
    "Flow events of new connections (ALLOW, AUDIT) and of drops (DENY).",
    ["src_identity", "dst_identity", "verdict"],
    `3 x ${MAX_FLOW_PAIRS} identity pairs, then "other"`,
  ),
  novanet_drops_total: counter("Dropped packets.", ["reason"], "the drop reasons"),
  novanet_policy_verdict_total: counter("Policy decisions in flow events.", ["action"], "3"),
  novanet_dataplane_tcp_connection_total: counter(
    "TCP flow events with the flag set.",
    ["flag"],
    "4",
  ),
  novanet_dataplane_tcp_latency_seconds: histogram(
    "Time from a TCP connection's first packet to the first one that answers.",
  ),
  novanet_agent_endpoints_total: gauge("Pod interfaces on this node."),
  novanet_agent_policies_total: gauge("Compiled policy entries."),
  novanet_agent_tunnels_total: gauge("Tunnels to other nodes."),
  novanet_agent_identities_total: gauge("Identities in use."),
  novanet_agent_remote_endpoints_total: gauge("Pods on other nodes."),
  novanet_cni_add_duration_seconds: histogram("Time that AddPod takes.", ["result"], "2"),
  novanet_cni_del_duration_seconds: histogram("Time that DelPod takes.", ["result"], "2"),
  novanet_rpc_duration_seconds: histogram(
    "Time that an RPC of the agent takes.",
    ["method", "code"],
    "methods x codes",
  ),
  novanet_agent_info: gauge("1, with the version.", ["version"], "1"),
  novanet_agent_dataplane_connected: gauge("1 while the dataplane answers, else 0."),
  novanet_agent_addresses: gauge("Pod addresses.", ["state"], "2"),
  novanet_agent_pending_deletes: gauge("Deferred deletions that wait in the spool."),
  novanet_agent_flow_subscribers: gauge("Streams of flows that are open."),
  novanet_agent_closed_identities: gauge(
    "Identities whose policy rules are not in force because the dataplane has no room for all; closed instead.",
  ),
  novanet_agent_policy_errors: gauge("Manifests that are wrong."),
  novanet_agent_warnings: gauge("Things on the host that stand in the way."),
  novanet_flow_events_total: counter("Flow events that the dataplane sent to the agent."),
  novanet_flow_events_lost_total: counter(
    "Flow events lost: in the kernel's buffer (dataplane), between the daemons (stream), by slow readers (agent).",
    ["stage"],
    "3",
  ),
  novanet_map_entries: gauge("Entries in a map of the dataplane.", ["map"], "the maps"),
  novanet_map_max_entries: gauge("Room in a map of the dataplane.", ["map"], "the maps"),
  novanet_conntrack_entries: gauge("Connections that the dataplane tracks."),
  novanet_conntrack_max_entries: gauge("Connections that it can track."),
  novanet_capture_lost_packets_total: counter("Packets that captures missed."),
} as const satisfies Record<string, MetricSpec>;

/** A metric's name. */
export type MetricName = keyof typeof METRICS;

/** The catalogue as the table of docs/metrics.md. */
export function metricsTable(): string {
  const rows = Object.entries(METRICS).map(([name, { kind, labels, bound, help }]) =>
    `| \`${name}\` | ${kind} | ${labels.map((l) => `\`${l}\``).join(", ")} | ${bound} | ${help} |`
  );
  return ["| name | kind | labels | series at most | what |", "|---|---|---|---|---|", ...rows]
    .join("\n") + "\n";
}
