import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  GetAgentStatusResponseSchema,
  GetDataplaneStatusResponse,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { unavailable } from "../../shared/rpc/errors.ts";
import { VERSION } from "../../shared/version.ts";
import { formatProblem } from "../policy/mod.ts";
import type { AgentParts } from "./parts.ts";

const STATUS_TIMEOUT_MS = 1000;

/** The dataplane's own status; undefined when it does not answer at once. */
export async function dataplaneStatus(
  { link }: AgentParts,
): Promise<GetDataplaneStatusResponse | undefined> {
  try {
    return await link.callNow((calls) =>
      calls.control.getDataplaneStatus({}, { timeoutMs: STATUS_TIMEOUT_MS })
    );
  } catch {
    return undefined;
  }
}

/** Why a pod could not be added now; empty when it could. */
export function notReadyReasons(parts: AgentParts): string[] {
  const reasons: string[] = [];
  if (!parts.started()) reasons.push("starting: pods are being reconciled");
  if (!parts.link.connected) reasons.push("dataplane not connected");
  return reasons;
}

/** @throws {RpcError} UNAVAILABLE until the agent knows which pods there are */
export function requireStarted({ started }: AgentParts): void {
  if (!started()) throw unavailable("the agent is starting: pods are being reconciled");
}

/** Answers GetAgentStatus. */
export async function agentStatus(
  parts: AgentParts,
): Promise<MessageInitShape<typeof GetAgentStatusResponseSchema>> {
  const { config, registry, enforcer, flows } = parts;
  const dataplane = await dataplaneStatus(parts);
  const { errors, warnings } = enforcer.snapshot;
  return {
    routingMode: config.values.routing_mode,
    tunnelProtocol: parts.tunnelProtocol,
    endpointCount: registry.list().length,
    policyCount: enforcer.entryCount,
    tunnelCount: 0,
    identityCount: registry.identities().length,
    nodeIp: config.nodeIp.toString(),
    podCidr: config.podCidr.toString(),
    clusterCidr: config.values.cluster_cidr.toString(),
    novarouteConnected: false,
    dataplane: {
      connected: parts.link.connected,
      attachedPrograms: dataplane?.programs.length ?? 0,
    },
    encryption: config.values["encryption.type"],
    xdpMode: config.values.xdp_acceleration,
    warnings: [...parts.warnings(), ...warnings.map(formatProblem)],
    nodeName: config.nodeName,
    version: VERSION,
    ready: notReadyReasons(parts).length === 0,
    lostFlowEvents: flows.lost + (dataplane?.lostFlowEvents ?? 0n) +
      (dataplane?.lostSubscriberEvents ?? 0n),
    flowEvents: flows.events,
    conntrackCount: dataplane?.conntrackCount ?? 0,
    conntrackMax: dataplane?.conntrackMax ?? 0,
    mapUsage: dataplane?.mapUsage ?? [],
    dropCounters: dataplane?.dropCounters ?? {},
    policySource: `folder ${config.values.manifests_dir}`,
    policyErrors: errors.map(formatProblem),
    pendingDeletes: parts.pendingDeletes(),
    addressesUsed: registry.addresses.used,
    addressesTotal: registry.addresses.total,
  };
}
