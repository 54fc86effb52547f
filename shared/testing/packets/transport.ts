import { IpProtocol } from "../../net/ip_protocol.ts";
import type { Ipv4 } from "../../net/ipv4.ts";
import { type Bytes, concat, toBytes, u16, u32, viewOf } from "./bytes.ts";
import { crc32c, internetChecksum } from "./checksum.ts";
import type { NetworkLayer } from "./ethernet.ts";
import { pseudoHeader, type TransportLayer } from "./ipv4.ts";

/** TCP's flags. */
export const TcpFlag = {
  FIN: 1,
  SYN: 2,
  RST: 4,
  PSH: 8,
  ACK: 16,
  URG: 32,
  ECE: 64,
  CWR: 128,
} as const;

const FLAG_LETTERS: Readonly<Record<string, number>> = {
  F: 1,
  S: 2,
  R: 4,
  P: 8,
  A: 16,
  U: 32,
  E: 64,
  C: 128,
};

/** A TCP segment's head (RFC 9293). */
export interface TcpSpec {
  readonly srcPort: number;
  readonly dstPort: number;
  /** Letters of F S R P A U E C in any order, or the bits; default "". */
  readonly flags?: string | number;
  readonly seq?: number;
  readonly ack?: number;
  /** Default 65535. */
  readonly window?: number;
  readonly urgent?: number;
  /** Padded with zeros to a multiple of four, 40 bytes at most. */
  readonly options?: Uint8Array;
  /** Header length in 32-bit words, in place of the right one. */
  readonly dataOffset?: number;
  /** In place of the right one. */
  readonly checksum?: number;
}

/** @returns a TCP segment. @throws {RangeError} for an unknown flag letter. */
export function tcp(spec: TcpSpec, data: string | Uint8Array = ""): TransportLayer {
  const options = new Uint8Array(Math.ceil((spec.options?.length ?? 0) / 4) * 4);
  options.set(spec.options ?? []);
  const segment = concat(
    u16(spec.srcPort),
    u16(spec.dstPort),
    u32(spec.seq ?? 0),
    u32(spec.ack ?? 0),
    Uint8Array.of((spec.dataOffset ?? 5 + options.length / 4) << 4, tcpFlags(spec.flags ?? "")),
    u16(spec.window ?? 65535),
    u16(0),
    u16(spec.urgent ?? 0),
    options,
    toBytes(data),
  );
  return checked(IpProtocol.TCP, segment, 16, spec.checksum);
}

/** A UDP datagram's head (RFC 768). */
export interface UdpSpec {
  readonly srcPort: number;
  readonly dstPort: number;
  /** In place of the right one, bytes. */
  readonly length?: number;
  /** In place of the right one; 0 means that there is none. */
  readonly checksum?: number;
}

/** @returns a UDP datagram. */
export function udp(spec: UdpSpec, data: string | Uint8Array = ""): TransportLayer {
  const payload = toBytes(data);
  const length = spec.length ?? 8 + payload.length;
  const datagram = concat(u16(spec.srcPort), u16(spec.dstPort), u16(length), u16(0), payload);
  return checked(IpProtocol.UDP, datagram, 6, spec.checksum);
}

/** ICMP types (RFC 792). */
export const IcmpType = {
  ECHO_REPLY: 0,
  UNREACHABLE: 3,
  REDIRECT: 5,
  ECHO: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
} as const;

/** An ICMP message's head. */
export interface IcmpSpec {
  readonly type: number;
  /** Default 0. */
  readonly code?: number;
  /** The four bytes after the checksum; default 0. */
  readonly rest?: number;
  /** In place of the right one. */
  readonly checksum?: number;
}

/** @returns an ICMP message of any type. */
export function icmp(spec: IcmpSpec, data: string | Uint8Array = ""): TransportLayer {
  const head = Uint8Array.of(spec.type, spec.code ?? 0, 0, 0);
  const message = concat(head, u32(spec.rest ?? 0), toBytes(data));
  viewOf(message).setUint16(2, spec.checksum ?? internetChecksum(message));
  return { protocol: IpProtocol.ICMP, build: () => message.slice() };
}

/** @returns an echo request, or its reply. */
export function icmpEcho(
  { reply = false, id, seq = 1 }: { reply?: boolean; id: number; seq?: number },
  data: string | Uint8Array = "novanet ping",
): TransportLayer {
  const type = reply ? IcmpType.ECHO_REPLY : IcmpType.ECHO;
  return icmp({ type, rest: (id << 16 | seq) >>> 0 }, data);
}

/**
 * An ICMP error about a packet.
 * @param original the IPv4 packet that it is about; its first `originalBytes` are carried.
 * @param originalBytes default its header and 8 bytes, as RFC 792 has it.
 */
export function icmpError(
  spec: IcmpSpec,
  original: NetworkLayer,
  originalBytes?: number,
): TransportLayer {
  const headerSize = ((original.bytes[0] ?? 0) & 0xf) * 4;
  return icmp(spec, original.bytes.subarray(0, originalBytes ?? headerSize + 8));
}

/** A chunk of an SCTP packet. */
export interface SctpChunk {
  /** 0 DATA, 1 INIT, 2 INIT ACK, 3 SACK, 4 HEARTBEAT, 6 ABORT, 7 SHUTDOWN, 10 COOKIE ECHO, 11 COOKIE ACK, ... */
  readonly type: number;
  readonly flags?: number;
  readonly value?: Uint8Array;
}

/** An SCTP packet's head (RFC 9260). */
export interface SctpSpec {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly verificationTag?: number;
  /** In place of the right one. */
  readonly checksum?: number;
}

/** @returns an SCTP packet. */
export function sctp(spec: SctpSpec, chunks: readonly SctpChunk[]): TransportLayer {
  const packet = concat(
    u16(spec.srcPort),
    u16(spec.dstPort),
    u32(spec.verificationTag ?? 0),
    u32(0),
    ...chunks.map(sctpChunk),
  );
  viewOf(packet).setUint32(8, spec.checksum ?? crc32c(packet), true);
  return { protocol: IpProtocol.SCTP, build: () => packet.slice() };
}

function sctpChunk({ type, flags = 0, value = new Uint8Array() }: SctpChunk): Bytes {
  const padding = new Uint8Array(-value.length & 3);
  return concat(Uint8Array.of(type, flags), u16(4 + value.length), value, padding);
}

/** Fills in the checksum when the addresses are known. */
function checked(
  protocol: number,
  bytes: Bytes,
  checksumOffset: number,
  forced: number | undefined,
): TransportLayer {
  return {
    protocol,
    build(src: Ipv4, dst: Ipv4): Bytes {
      const built = bytes.slice();
      const sum = internetChecksum(concat(pseudoHeader(src, dst, protocol, built.length), built));
      // A UDP checksum of 0 says that there is none.
      const right = sum === 0 && protocol === IpProtocol.UDP ? 0xffff : sum;
      viewOf(built).setUint16(checksumOffset, forced ?? right);
      return built;
    },
  };
}

function tcpFlags(flags: string | number): number {
  if (typeof flags === "number") return flags;
  return [...flags].reduce((bits, letter) => {
    const bit = FLAG_LETTERS[letter];
    if (bit === undefined) throw new RangeError(`${JSON.stringify(letter)} is no TCP flag`);
    return bits | bit;
  }, 0);
}

/** @returns the letters of TCP flags, e.g. `SA`. */
export function tcpFlagLetters(bits: number): string {
  return Object.entries(FLAG_LETTERS).filter(([, bit]) => (bits & bit) !== 0).map(([letter]) =>
    letter
  ).join("");
}
