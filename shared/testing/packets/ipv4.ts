import type { Ipv4 } from "../../net/ipv4.ts";
import { type Bytes, concat, type IpLike, toIp, u16, viewOf } from "./bytes.ts";
import { internetChecksum } from "./checksum.ts";
import { EtherType, type NetworkLayer } from "./ethernet.ts";

const FIXED_HEADER_SIZE = 20;
const CHECKSUM_OFFSET = 10;

/** What an IPv4 packet carries; the addresses are part of the checksum of some. */
export interface TransportLayer {
  /** The IP protocol's number. */
  readonly protocol: number;
  /** @returns its bytes between these addresses. */
  build(src: Ipv4, dst: Ipv4): Bytes;
}

/** The head of an IPv4 packet. Lengths and checksum are right unless a test wants them wrong. */
export interface Ipv4Spec {
  readonly src: IpLike;
  readonly dst: IpLike;
  /** Default 64. */
  readonly ttl?: number;
  /** DSCP and ECN; default 0. */
  readonly tos?: number;
  /** The identification that joins fragments; default 0. */
  readonly id?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** The bit that must be zero (RFC 3514). */
  readonly reservedFlag?: boolean;
  /** Where this fragment starts, bytes, a multiple of 8; default 0. */
  readonly fragmentOffset?: number;
  /** Padded with zeros to a multiple of four, 40 bytes at most. */
  readonly options?: Uint8Array;
  /** In place of the payload's own. */
  readonly protocol?: number;
  /** In place of 4. */
  readonly version?: number;
  /** Header length in 32-bit words, in place of the right one. */
  readonly ihl?: number;
  /** In place of the right one, bytes. */
  readonly totalLength?: number;
  /** In place of the right one. */
  readonly checksum?: number;
}

/** @returns an IPv4 packet. */
export function ipv4(spec: Ipv4Spec, payload: TransportLayer): NetworkLayer {
  return assemble(
    spec,
    spec.protocol ?? payload.protocol,
    payload.build(toIp(spec.src), toIp(spec.dst)),
  );
}

/**
 * Cuts one packet into fragments.
 * @param sizes payload bytes of each but the last, multiples of 8; the last takes what remains.
 * @returns them in order; the caller may drop, repeat or shuffle them.
 */
export function fragments(
  spec: Ipv4Spec,
  payload: TransportLayer,
  sizes: readonly number[],
): NetworkLayer[] {
  const whole = payload.build(toIp(spec.src), toIp(spec.dst));
  const ends = [...sizes, whole.length];
  let offset = 0;
  return ends.map((size, index) => {
    const last = index === sizes.length;
    const part = whole.subarray(offset, last ? whole.length : offset + size);
    const piece = { ...spec, fragmentOffset: offset, moreFragments: !last };
    offset += part.length;
    return assemble(piece, spec.protocol ?? payload.protocol, part);
  });
}

/** @returns any bytes as the payload of an IPv4 packet of any protocol. */
export function rawTransport(protocol: number, bytes: Uint8Array): TransportLayer {
  return { protocol, build: () => Uint8Array.from(bytes) };
}

/** @returns the pseudo-header that TCP's and UDP's checksums cover. */
export function pseudoHeader(src: Ipv4, dst: Ipv4, protocol: number, length: number): Bytes {
  return concat(src.toBytes(), dst.toBytes(), Uint8Array.of(0, protocol), u16(length));
}

function assemble(spec: Ipv4Spec, protocol: number, payload: Uint8Array): NetworkLayer {
  const options = padded(spec.options ?? new Uint8Array());
  const headerSize = FIXED_HEADER_SIZE + options.length;
  const header = concat(
    Uint8Array.of((spec.version ?? 4) << 4 | (spec.ihl ?? headerSize / 4), spec.tos ?? 0),
    u16(spec.totalLength ?? headerSize + payload.length),
    u16(spec.id ?? 0),
    u16(fragmentWord(spec)),
    Uint8Array.of(spec.ttl ?? 64, protocol, 0, 0),
    toIp(spec.src).toBytes(),
    toIp(spec.dst).toBytes(),
    options,
  );
  viewOf(header).setUint16(CHECKSUM_OFFSET, spec.checksum ?? internetChecksum(header));
  return { etherType: EtherType.IPV4, bytes: concat(header, payload) };
}

function fragmentWord(spec: Ipv4Spec): number {
  const offset = spec.fragmentOffset ?? 0;
  if (offset % 8 !== 0) throw new RangeError(`fragment offset ${offset} is no multiple of 8`);
  return (spec.reservedFlag ? 0x8000 : 0) | (spec.dontFragment ? 0x4000 : 0) |
    (spec.moreFragments ? 0x2000 : 0) | offset / 8;
}

function padded(options: Uint8Array): Bytes {
  if (options.length > 40) throw new RangeError(`${options.length} bytes of IPv4 options`);
  const bytes = new Uint8Array(Math.ceil(options.length / 4) * 4);
  bytes.set(options);
  return bytes;
}
