import type { EndpointInfo } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { type Ipv4, Mac } from "../../shared/net/mod.ts";

/** One entry of the dataplane's endpoint map, as the agent wants it. */
export interface Endpoint {
  readonly ip: Ipv4;
  /** The host interface; 0 when the address is not behind one of ours. */
  readonly ifindex: number;
  readonly mac: Mac;
  readonly identityId: number;
  readonly podName: string;
  readonly namespace: string;
  readonly nodeIp: Ipv4;
}

/** The same, in the form of an UpsertEndpointRequest. */
export function endpointMessage(endpoint: Endpoint) {
  return {
    ip: endpoint.ip.value,
    ifindex: endpoint.ifindex,
    mac: endpoint.mac.bytes,
    identityId: endpoint.identityId,
    podName: endpoint.podName,
    namespace: endpoint.namespace,
    nodeIp: endpoint.nodeIp.value,
  };
}

/** What has to be done so that the dataplane has the endpoints that it should have. */
export interface EndpointDiff {
  readonly upsert: readonly Endpoint[];
  /** Addresses as numbers. */
  readonly remove: readonly number[];
}

/**
 * Compares what should be with what is.
 * @param keep addresses (as numbers) that are on their way in or out: left as they are
 */
export function diffEndpoints(
  wanted: Iterable<Endpoint>,
  found: Iterable<EndpointInfo>,
  keep: ReadonlySet<number>,
): EndpointDiff {
  const have = new Map([...found].map((info) => [info.ip, info]));
  const upsert: Endpoint[] = [];
  const wantedIps = new Set<number>();
  for (const endpoint of wanted) {
    wantedIps.add(endpoint.ip.value);
    const info = have.get(endpoint.ip.value);
    if (info === undefined || !sameEndpoint(endpoint, info)) upsert.push(endpoint);
  }
  const remove = [...have.keys()].filter((ip) => !wantedIps.has(ip) && !keep.has(ip));
  return { upsert, remove };
}

/** Whether the dataplane has just this endpoint; a local one's node may be given as 0. */
export function sameEndpoint(wanted: Endpoint, found: EndpointInfo): boolean {
  return found.ip === wanted.ip.value &&
    found.ifindex === wanted.ifindex &&
    found.identityId === wanted.identityId &&
    found.mac.length === 6 && Mac.fromBytes(found.mac).equals(wanted.mac) &&
    (found.nodeIp === 0 || found.nodeIp === wanted.nodeIp.value) &&
    found.podName === wanted.podName && found.namespace === wanted.namespace;
}
