import type { DescMethod } from "@bufbuild/protobuf";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import {
  AgentControl,
  DropReason,
  type FlowEvent,
  type GetDataplaneStatusResponse,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { type MetricName, METRICS, type MetricSpec } from "./catalogue.ts";
import { FlowCounts } from "./flow_counts.ts";
import { HandshakeTimer } from "./handshake_timer.ts";

/** Values that are read when somebody asks for the metrics. */
export interface MetricSnapshot {
  readonly version: string;
  readonly endpoints: number;
  readonly policies: number;
  readonly identities: number;
  readonly addresses: { readonly used: number; readonly total: number };
  readonly pendingDeletes: number;
  readonly flowSubscribers: number;
  readonly closedIdentities: number;
  readonly policyErrors: number;
  readonly warnings: number;
  readonly flowEvents: bigint;
  readonly lostInAgent: bigint;
  /** Undefined while the dataplane is not connected. */
  readonly dataplane: GetDataplaneStatusResponse | undefined;
}

/** Upper bounds in seconds: an ADD takes milliseconds, a stuck one half a minute. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30];
const STREAMS: ReadonlySet<string> = new Set(
  [AgentControl, AgentExt, EBPFServices].flatMap(({ methods }) => methods as readonly DescMethod[])
    .filter(({ methodKind }) => methodKind !== "unary").map(({ name }) => name),
);

/** The agent's metrics: counters that events drive, and values read when they are asked for. */
export class AgentMetrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #flows = new FlowCounts();
  readonly #handshakes = new HandshakeTimer();

  constructor() {
    for (const [name, spec] of Object.entries<MetricSpec>(METRICS)) {
      const options = {
        name,
        help: spec.help,
        labelNames: [...spec.labels],
        registers: [this.#registry],
      };
      if (spec.kind === "counter") this.#counters.set(name, new Counter(options));
      else if (spec.kind === "gauge") this.#gauges.set(name, new Gauge(options));
      else this.#histograms.set(name, new Histogram({ ...options, buckets: BUCKETS }));
    }
  }

  /** Counts a flow event. */
  onFlow(event: FlowEvent): void {
    this.#flows.add(event);
    if (event.protocol !== 6) return;
    const latency = this.#handshakes.observe(event);
    if (latency !== undefined) this.#observe("novanet_dataplane_tcp_latency_seconds", {}, latency);
  }

  /** Counts packets that a capture missed. */
  onCaptureLoss(packets: number): void {
    this.#counters.get("novanet_capture_lost_packets_total")?.inc(packets);
  }

  /** Notes how long an RPC took, in seconds, and how it ended; streams last as their clients wish. */
  onRpc(method: string, code: string, seconds: number): void {
    if (STREAMS.has(method)) return;
    this.#observe("novanet_rpc_duration_seconds", { method, code }, seconds);
    const result = code === "OK" ? "ok" : "error";
    if (method === "AddPod") this.#observe("novanet_cni_add_duration_seconds", { result }, seconds);
    if (method === "DelPod") this.#observe("novanet_cni_del_duration_seconds", { result }, seconds);
  }

  /** The text that Prometheus reads. */
  async render(snapshot: MetricSnapshot): Promise<string> {
    this.#set("novanet_agent_info", 1, { version: snapshot.version });
    this.#set("novanet_agent_endpoints_total", snapshot.endpoints);
    this.#set("novanet_agent_policies_total", snapshot.policies);
    this.#set("novanet_agent_identities_total", snapshot.identities);
    this.#set("novanet_agent_tunnels_total", 0);
    this.#set("novanet_agent_remote_endpoints_total", 0);
    this.#set("novanet_agent_addresses", snapshot.addresses.used, { state: "used" });
    const free = Math.max(0, snapshot.addresses.total - snapshot.addresses.used);
    this.#set("novanet_agent_addresses", free, { state: "free" });
    this.#set("novanet_agent_pending_deletes", snapshot.pendingDeletes);
    this.#set("novanet_agent_flow_subscribers", snapshot.flowSubscribers);
    this.#set("novanet_agent_closed_identities", snapshot.closedIdentities);
    this.#set("novanet_agent_policy_errors", snapshot.policyErrors);
    this.#set("novanet_agent_warnings", snapshot.warnings);
    this.#count("novanet_flow_events_total", {}, snapshot.flowEvents);
    this.#count("novanet_flow_events_lost_total", { stage: "agent" }, snapshot.lostInAgent);
    this.#countFlows();
    this.#set("novanet_agent_dataplane_connected", snapshot.dataplane === undefined ? 0 : 1);
    if (snapshot.dataplane !== undefined) this.#setDataplane(snapshot.dataplane);
    return await this.#registry.metrics();
  }

  /** The media type of {@linkcode render}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  #countFlows(): void {
    this.#flows.take({
      pair: (source, destination, verdict, count) => {
        const labels = { src_identity: source, dst_identity: destination, verdict };
        this.#inc("novanet_flow_total", labels, count);
        this.#inc("novanet_policy_verdict_total", { action: verdict }, count);
      },
      flag: (flag, count) => this.#inc("novanet_dataplane_tcp_connection_total", { flag }, count),
    });
  }

  #setDataplane(status: GetDataplaneStatusResponse): void {
    for (const [reason, packets] of Object.entries(status.dropCounters)) {
      const name = DropReason[Number(reason)] ?? reason;
      this.#count("novanet_drops_total", { reason: name }, packets);
    }
    this.#count("novanet_flow_events_lost_total", { stage: "dataplane" }, status.lostFlowEvents);
    const stream = status.lostSubscriberEvents;
    this.#count("novanet_flow_events_lost_total", { stage: "stream" }, stream);
    this.#set("novanet_conntrack_entries", status.conntrackCount);
    this.#set("novanet_conntrack_max_entries", status.conntrackMax);
    for (const { name, entries, maxEntries } of status.mapUsage) {
      this.#set("novanet_map_entries", Number(entries), { map: name });
      this.#set("novanet_map_max_entries", Number(maxEntries), { map: name });
    }
  }

  #inc(name: MetricName, labels: Record<string, string>, count: number): void {
    this.#counters.get(name)?.inc(labels, count);
  }

  /** A counter that is kept elsewhere. */
  #count(name: MetricName, labels: Record<string, string>, value: bigint): void {
    const counter = this.#counters.get(name);
    counter?.remove(labels);
    counter?.inc(labels, Number(value));
  }

  #set(name: MetricName, value: number, labels: Record<string, string> = {}): void {
    this.#gauges.get(name)?.set(labels, value);
  }

  #observe(name: MetricName, labels: Record<string, string>, seconds: number): void {
    this.#histograms.get(name)?.observe(labels, seconds);
  }
}
