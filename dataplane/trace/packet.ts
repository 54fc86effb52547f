/** The packet that is followed, and the connection that it belongs to. Pure. */

import type { ConntrackKey } from "../../shared/gen/abi.ts";
import { hasPorts, IpProtocol } from "../../shared/net/ip_protocol.ts";

/** A packet as far as the datapath's decisions go. Addresses are numbers. */
export interface TracedPacket {
  readonly srcIp: number;
  readonly dstIp: number;
  readonly protocol: number;
  /** Of an ICMP echo request, its identifier; 0: one that no connection has. */
  readonly srcPort: number;
  /** 0 for protocols without ports. */
  readonly dstPort: number;
}

/** Whether packets of a protocol tell connections between the same ends apart. */
export function hasSourcePort(protocol: number): boolean {
  return hasPorts(protocol) || protocol === IpProtocol.ICMP;
}

/** The packet's key in CONNTRACK: the end with the smaller address and port is A. */
export function connectionKey(
  { srcIp, dstIp, srcPort, dstPort, protocol }: TracedPacket,
): { readonly key: ConntrackKey; readonly sourceIsA: boolean } {
  const sourceIsA = srcIp < dstIp || (srcIp === dstIp && srcPort <= dstPort);
  const key = sourceIsA
    ? { ipA: srcIp, ipB: dstIp, portA: srcPort, portB: dstPort, protocol }
    : { ipA: dstIp, ipB: srcIp, portA: dstPort, portB: srcPort, protocol };
  return { key, sourceIsA };
}
