/** GetDataplaneStatus. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Statistic } from "../../shared/gen/abi.ts";
import type {
  DataplaneControl,
  GetDataplaneStatusResponseSchema,
  MapUsageSchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { VERSION } from "../../shared/version.ts";
import { modeName, tunnelProtocolName } from "../config/derived_state.ts";
import { countEntries } from "../maps/entry_count.ts";
import type { Attachment } from "../programs/attachments.ts";
import { LAYOUT_VERSION } from "../programs/pins.ts";
import type { Dataplane } from "./dataplane.ts";

type Status = MessageInitShape<typeof GetDataplaneStatusResponseSchema>;
type MapUsage = MessageInitShape<typeof MapUsageSchema>;

/** The handler of GetDataplaneStatus. */
export function statusHandlers(dataplane: Dataplane): ServiceImpl<typeof DataplaneControl> {
  return { getDataplaneStatus: () => readStatus(dataplane) };
}

function readStatus(dataplane: Dataplane): Status {
  const { connections, endpoints, policies, config, attachments, flows, drops, statistics } =
    dataplane;
  const conntrackCount = countConnections(dataplane);
  return {
    endpointCount: endpoints.size,
    policyCount: policies.table.size,
    tunnelCount: 0,
    programs: attachments.list().filter(isThere).map(({ interfaceName, direction, programId }) => ({
      interfaceName,
      attachType: direction,
      programId,
    })),
    mode: modeName(config.values),
    tunnelProtocol: tunnelProtocolName(config.values),
    dropCounters: Object.fromEntries(drops.readAll()),
    serviceCount: 0,
    conntrackCount,
    lostFlowEvents: statistics.read(Statistic.STATISTIC_EVENTS_LOST),
    flowEvents: flows.received,
    lostSubscriberEvents: BigInt(flows.lostBySubscribers),
    mapUsage: mapUsage(dataplane, conntrackCount),
    attachMode: attachments.mode,
    policyGeneration: BigInt(policies.generation),
    version: VERSION,
    layoutVersion: LAYOUT_VERSION,
    conntrackMax: connections.capacity,
  };
}

/** The programs count what they add and what they remove; counters of CPUs are read one after the other. */
function countConnections({ statistics }: Dataplane): number {
  const removed = statistics.read(Statistic.STATISTIC_CONNTRACK_REMOVED);
  const created = statistics.read(Statistic.STATISTIC_CONNTRACK_CREATED);
  return Math.max(0, Number(created - removed));
}

function mapUsage(dataplane: Dataplane, connectionCount: number): MapUsage[] {
  const { objects, connections, endpoints, policies } = dataplane;
  const usage = (name: string, entries: number, maxEntries?: number): MapUsage => ({
    name,
    entries: BigInt(entries),
    maxEntries: BigInt(maxEntries ?? objects.map(name).info().maxEntries),
  });
  return [
    usage("CIDR_IDENTITIES", policies.cidrs.size, policies.cidrCapacity),
    usage("CONNTRACK", connectionCount, connections.capacity),
    usage("ENDPOINTS", endpoints.size),
    usage("FRAGMENTS", countEntries(objects.map("FRAGMENTS"))),
    usage("POLICIES", policies.table.size, policies.capacity),
    usage("POLICY_SHAPES", countEntries(objects.map("POLICY_SHAPES"))),
  ];
}

/** One that is being removed has no name any more; so has one of another network namespace. */
function isThere({ interfaceName }: Attachment): boolean {
  return interfaceName !== "";
}
