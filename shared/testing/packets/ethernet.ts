import { Mac } from "../../net/mac.ts";
import { type Bytes, concat, type IpLike, type MacLike, toIp, toMac, u16 } from "./bytes.ts";

/** EtherTypes. */
export const EtherType = {
  IPV4: 0x0800,
  ARP: 0x0806,
  VLAN: 0x8100,
  IPV6: 0x86dd,
  QINQ: 0x88a8,
} as const;

/** What a frame carries. */
export interface NetworkLayer {
  readonly etherType: number;
  readonly bytes: Bytes;
}

/** A tag of IEEE 802.1Q. */
export interface VlanTag {
  /** 0 to 4095. */
  readonly id: number;
  /** 0 to 7; default 0. */
  readonly priority?: number;
  /** Default 0x8100. */
  readonly etherType?: number;
}

/** The head of a frame. */
export interface EthernetSpec {
  readonly src: MacLike;
  readonly dst: MacLike;
  /** Outermost first. */
  readonly vlans?: readonly VlanTag[];
  /** In place of the payload's own. */
  readonly etherType?: number;
}

/** @returns a whole frame, without padding and checksum. */
export function ethernet(spec: EthernetSpec, payload: NetworkLayer): Bytes {
  const tags = (spec.vlans ?? []).map(({ id, priority = 0, etherType = EtherType.VLAN }) =>
    concat(u16(etherType), u16(priority << 13 | id))
  );
  return concat(
    toMac(spec.dst).bytes,
    toMac(spec.src).bytes,
    ...tags,
    u16(spec.etherType ?? payload.etherType),
    payload.bytes,
  );
}

/** @returns any bytes as the payload of a frame. */
export function rawNetwork(etherType: number, bytes: Uint8Array): NetworkLayer {
  return { etherType, bytes: Uint8Array.from(bytes) };
}

/** An ARP message of IPv4 over Ethernet (RFC 826). */
export interface ArpSpec {
  /** 1 asks, 2 answers. */
  readonly operation: 1 | 2;
  readonly senderMac: MacLike;
  readonly senderIp: IpLike;
  /** Default zeros. */
  readonly targetMac?: MacLike;
  readonly targetIp: IpLike;
}

/** @returns an ARP message. */
export function arp(spec: ArpSpec): NetworkLayer {
  const bytes = concat(
    Uint8Array.of(0, 1, 8, 0, 6, 4, 0, spec.operation),
    toMac(spec.senderMac).bytes,
    toIp(spec.senderIp).toBytes(),
    toMac(spec.targetMac ?? Mac.ZERO).bytes,
    toIp(spec.targetIp).toBytes(),
  );
  return { etherType: EtherType.ARP, bytes };
}

/** An IPv6 header in front of bytes. Addresses are 16 bytes; default ::. */
export interface Ipv6Spec {
  readonly src?: Uint8Array;
  readonly dst?: Uint8Array;
  readonly nextHeader: number;
  /** Default 64. */
  readonly hopLimit?: number;
}

/** @returns a plain IPv6 packet: what NovaNet must not let around its policy. */
export function ipv6(spec: Ipv6Spec, payload: Uint8Array): NetworkLayer {
  const bytes = concat(
    Uint8Array.of(0x60, 0, 0, 0),
    u16(payload.length),
    Uint8Array.of(spec.nextHeader, spec.hopLimit ?? 64),
    spec.src ?? new Uint8Array(16),
    spec.dst ?? new Uint8Array(16),
    payload,
  );
  return { etherType: EtherType.IPV6, bytes };
}
