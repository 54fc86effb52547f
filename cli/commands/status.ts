import {
  type GetAgentStatusResponse,
  GetAgentStatusResponseSchema,
  type MapUsage,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { agentControl } from "../agent.ts";
import type { Io } from "../io.ts";
import { type JsonValue, withoutZeros } from "../json.ts";
import { dropReasonLabel, orDash } from "../labels.ts";
import { type JsonRecord, messageJson } from "../message_json.ts";
import type { GlobalOptions } from "../options.ts";
import { type Field, printFields } from "../output.ts";

/** `status` */
export async function status(options: GlobalOptions, io: Io): Promise<void> {
  const status = await getStatus(options);
  const fields = statusFields(status, options.output === "wide");
  await printFields(io, options, fields, statusJson(status));
}

/** `metrics` */
export async function metrics(options: GlobalOptions, io: Io): Promise<void> {
  const status = await getStatus(options);
  const values = metricValues(status);
  const fields = Object.entries(values).map(([key, value]) => ({ key, value: String(value) }));
  await printFields(io, options, fields, values);
}

/** The response with the names of the proto; what is zero, false or empty is left out. */
export function statusJson(status: GetAgentStatusResponse): JsonValue {
  const json: JsonRecord = messageJson(GetAgentStatusResponseSchema, status);
  const dataplane = json["dataplane"] as JsonRecord | null;
  return withoutZeros({ ...json, dataplane: dataplane === null ? null : withoutZeros(dataplane) });
}

/** The lines of `status`. @param wide with how full each table is. */
export function statusFields(status: GetAgentStatusResponse, wide: boolean): Field[] {
  const connected = status.dataplane?.connected ?? false;
  const programs = status.dataplane?.attachedPrograms ?? 0;
  const fields: Field[] = [
    { key: "Node", value: orDash([status.nodeName, status.nodeIp].filter(Boolean).join(" ")) },
    { key: "Agent", value: orDash(status.version) },
    yesNo("Ready", status.ready, status.ready ? "yes" : "no: pods can't be added now"),
    yesNo(
      "Dataplane",
      connected,
      connected ? `connected, ${programs} programs attached` : "not connected",
    ),
    { key: "Routing mode", value: orDash(status.routingMode) },
    { key: "Tunnel protocol", value: orDash(status.tunnelProtocol) },
    { key: "Pod CIDR", value: orDash(status.podCidr) },
    { key: "Cluster CIDR", value: orDash(status.clusterCidr) },
    { key: "Addresses", value: share(status.addressesUsed, status.addressesTotal) },
    { key: "Endpoints", value: String(status.endpointCount) },
    { key: "Policies", value: String(status.policyCount) },
    { key: "Policy source", value: orDash(status.policySource) },
    { key: "Identities", value: String(status.identityCount) },
    { key: "Tunnels", value: String(status.tunnelCount) },
    { key: "Connections", value: share(status.conntrackCount, status.conntrackMax) },
    { key: "Flow events", value: `${status.flowEvents}, ${status.lostFlowEvents} lost` },
    { key: "Dropped packets", value: dropsText(status.dropCounters) },
    { key: "Pending deletes", value: String(status.pendingDeletes) },
    ...status.policyErrors.map((value) => ({ key: "Policy error", value, color: "red" as const })),
    ...status.warnings.map((value) => ({ key: "Warning", value, color: "red" as const })),
  ];
  return wide ? [...fields, ...status.mapUsage.map(mapField)] : fields;
}

/** The lines of `metrics`, in their order. */
export function metricValues(status: GetAgentStatusResponse): Record<string, number | bigint> {
  return {
    endpoints: status.endpointCount,
    policies: status.policyCount,
    identities: status.identityCount,
    tunnels: status.tunnelCount,
    addresses_used: status.addressesUsed,
    addresses_total: status.addressesTotal,
    pending_deletes: status.pendingDeletes,
    attached_programs: status.dataplane?.attachedPrograms ?? 0,
    conntrack_entries: status.conntrackCount,
    conntrack_max: status.conntrackMax,
    flow_events: status.flowEvents,
    lost_flow_events: status.lostFlowEvents,
    ...Object.fromEntries(
      drops(status.dropCounters).map(([reason, packets]) => [`drops.${reason}`, packets]),
    ),
    ...Object.fromEntries(status.mapUsage.flatMap(({ name, entries, maxEntries }) => [
      [`map.${name}.entries`, entries],
      [`map.${name}.max_entries`, maxEntries],
    ])),
  };
}

async function getStatus(options: GlobalOptions): Promise<GetAgentStatusResponse> {
  using agent = agentControl(options);
  return await agent.getAgentStatus({});
}

function yesNo(key: string, good: boolean, value: string): Field {
  return { key, value, color: good ? "green" : "red" };
}

function mapField({ name, entries, maxEntries }: MapUsage): Field {
  return { key: `Map ${name}`, value: share(Number(entries), Number(maxEntries)) };
}

/** Such as `3 of 254 (1 %)`. */
function share(used: number, total: number): string {
  if (total === 0) return String(used);
  return `${used} of ${total} (${(100 * used / total).toFixed(used === 0 ? 0 : 1)} %)`;
}

/** Reasons by name with their packets, the most packets first. */
function drops(counters: Readonly<Record<number, bigint>>): [string, bigint][] {
  return Object.entries(counters)
    .map(([reason, packets]): [string, bigint] => [dropReasonLabel(Number(reason)), packets])
    .sort(([, left], [, right]) => left < right ? 1 : left > right ? -1 : 0);
}

function dropsText(counters: Readonly<Record<number, bigint>>): string {
  return drops(counters).map(([reason, packets]) => `${packets} ${reason}`).join(", ") || "0";
}
