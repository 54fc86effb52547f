import assert from "node:assert/strict";
import { IpProtocol, ipProtocolName } from "../../net/ip_protocol.ts";
import { Ipv4 } from "../../net/ipv4.ts";
import { Mac } from "../../net/mac.ts";
import { concat, viewOf } from "./bytes.ts";
import { crc32c, internetChecksum } from "./checksum.ts";
import { EtherType } from "./ethernet.ts";
import { pseudoHeader } from "./ipv4.ts";
import { tcpFlagLetters } from "./transport.ts";

const HEX_BYTES_PER_LINE = 32;
/** An ICMP error carries at most the head of a packet; inside that one, errors are not opened again. */
const MAX_DEPTH = 1;

/**
 * Tells a frame's fields, one a line, so that two frames can be compared by eye. Broken ones too: what does not
 * fit is shown in hexadecimal.
 */
export function describeFrame(frame: Uint8Array): string {
  return [`frame: ${frame.length} bytes`, ...describeEthernet(frame)].join("\n");
}

/**
 * Fails unless two frames are the same bytes, and shows the fields that differ.
 * @throws {AssertionError}
 */
export function assertSameFrame(actual: Uint8Array, expected: Uint8Array, what = "frame"): void {
  const [actualHex, expectedHex] = [concat(actual).toHex(), concat(expected).toHex()];
  if (actualHex === expectedHex) return;
  assert.equal(`${what}\n${describeFrame(actual)}`, `${what}\n${describeFrame(expected)}`);
  assert.equal(`${what} ${actualHex}`, `${what} ${expectedHex}`);
}

function describeEthernet(frame: Uint8Array): string[] {
  if (frame.length < 14) return hex("ethernet cut short", frame);
  const lines = [
    `ethernet dst: ${Mac.fromBytes(frame.subarray(0, 6))}`,
    `ethernet src: ${Mac.fromBytes(frame.subarray(6, 12))}`,
  ];
  const view = viewOf(frame);
  let offset = 12;
  let etherType = view.getUint16(offset);
  while (
    (etherType === EtherType.VLAN || etherType === EtherType.QINQ) && frame.length >= offset + 6
  ) {
    const tci = view.getUint16(offset + 2);
    lines.push(`vlan: type ${hexNumber(etherType, 4)} id ${tci & 0xfff} priority ${tci >>> 13}`);
    offset += 4;
    etherType = view.getUint16(offset);
  }
  lines.push(`ethernet type: ${hexNumber(etherType, 4)}`);
  const payload = frame.subarray(offset + 2);
  if (etherType === EtherType.IPV4) return [...lines, ...describeIpv4(payload, 0)];
  if (etherType === EtherType.ARP) return [...lines, ...describeArp(payload)];
  return [...lines, ...hex("payload", payload)];
}

function describeArp(bytes: Uint8Array): string[] {
  if (bytes.length < 28) return hex("arp cut short", bytes);
  return [
    `arp operation: ${viewOf(bytes).getUint16(6)}`,
    `arp sender: ${Mac.fromBytes(bytes.subarray(8, 14))} ${Ipv4.fromBytes(bytes.subarray(14, 18))}`,
    `arp target: ${Mac.fromBytes(bytes.subarray(18, 24))} ${
      Ipv4.fromBytes(bytes.subarray(24, 28))
    }`,
    ...hex("padding", bytes.subarray(28)),
  ];
}

function describeIpv4(bytes: Uint8Array, depth: number): string[] {
  const view = viewOf(bytes);
  const headerSize = ((bytes[0] ?? 0) & 0xf) * 4;
  if (bytes.length < 20 || headerSize < 20 || headerSize > bytes.length) {
    return hex("ipv4 malformed", bytes);
  }
  const fragment = view.getUint16(6);
  const fragmentOffset = (fragment & 0x1fff) * 8;
  const totalLength = view.getUint16(2);
  const end = Math.min(Math.max(totalLength, headerSize), bytes.length);
  const [src, dst] = [
    Ipv4.fromBytes(bytes.subarray(12, 16)),
    Ipv4.fromBytes(bytes.subarray(16, 20)),
  ];
  const protocol = view.getUint8(9);
  const payload = bytes.subarray(headerSize, end);
  const whole = fragment === 0 || fragment === 0x4000 || fragment === 0x8000;
  return [
    `ipv4 src: ${src}`,
    `ipv4 dst: ${dst}`,
    `ipv4 protocol: ${ipProtocolName(protocol)}`,
    `ipv4 version: ${view.getUint8(0) >>> 4}`,
    `ipv4 tos: ${hexNumber(view.getUint8(1), 2)}`,
    `ipv4 total length: ${totalLength}${
      totalLength === bytes.length ? "" : ` (there are ${bytes.length})`
    }`,
    `ipv4 id: ${view.getUint16(4)}`,
    `ipv4 fragment: offset ${fragmentOffset}${fragment & 0x4000 ? " DF" : ""}${
      fragment & 0x2000 ? " MF" : ""
    }${fragment & 0x8000 ? " reserved" : ""}`,
    `ipv4 ttl: ${view.getUint8(8)}`,
    checksumLine("ipv4", view.getUint16(10), internetChecksum(bytes.subarray(0, headerSize)) === 0),
    ...hex("ipv4 options", bytes.subarray(20, headerSize)),
    ...describeTransport({
      protocol,
      src,
      dst,
      payload,
      whole,
      first: fragmentOffset === 0,
      depth,
    }),
    ...hex("after the ipv4 packet", bytes.subarray(end)),
  ];
}

interface TransportContext {
  readonly protocol: number;
  readonly src: Ipv4;
  readonly dst: Ipv4;
  readonly payload: Uint8Array;
  /** Not a fragment, so that its checksum can be looked at. */
  readonly whole: boolean;
  /** Holds the transport's header. */
  readonly first: boolean;
  readonly depth: number;
}

function describeTransport(context: TransportContext): string[] {
  const { protocol, payload, first } = context;
  if (first && protocol === IpProtocol.TCP && payload.length >= 20) return describeTcp(context);
  if (first && protocol === IpProtocol.UDP && payload.length >= 8) return describeUdp(context);
  if (first && protocol === IpProtocol.ICMP && payload.length >= 8) return describeIcmp(context);
  if (first && protocol === IpProtocol.SCTP && payload.length >= 12) return describeSctp(payload);
  return hex("payload", payload);
}

function describeTcp(context: TransportContext): string[] {
  const { payload } = context;
  const view = viewOf(payload);
  const headerSize = Math.min(Math.max((view.getUint8(12) >>> 4) * 4, 20), payload.length);
  return [
    `tcp ports: ${view.getUint16(0)} -> ${view.getUint16(2)}`,
    `tcp flags: ${tcpFlagLetters(view.getUint8(13))}`,
    `tcp seq: ${view.getUint32(4)}`,
    `tcp ack: ${view.getUint32(8)}`,
    `tcp data offset: ${view.getUint8(12) >>> 4}`,
    `tcp window: ${view.getUint16(14)}`,
    `tcp urgent: ${view.getUint16(18)}`,
    transportChecksum("tcp", context, view.getUint16(16)),
    ...hex("tcp options", payload.subarray(20, headerSize)),
    ...hex("tcp data", payload.subarray(headerSize)),
  ];
}

function describeUdp(context: TransportContext): string[] {
  const view = viewOf(context.payload);
  const checksum = view.getUint16(6);
  return [
    `udp ports: ${view.getUint16(0)} -> ${view.getUint16(2)}`,
    `udp length: ${view.getUint16(4)}`,
    checksum === 0 ? "udp checksum: none" : transportChecksum("udp", context, checksum),
    ...hex("udp data", context.payload.subarray(8)),
  ];
}

function describeIcmp({ payload, whole, depth }: TransportContext): string[] {
  const view = viewOf(payload);
  const type = view.getUint8(0);
  const isError = [3, 4, 5, 11, 12].includes(type);
  const rest = payload.subarray(8);
  return [
    `icmp type: ${type} code ${view.getUint8(1)}`,
    `icmp rest: ${hexNumber(view.getUint32(4), 8)}`,
    checksumLine("icmp", view.getUint16(2), whole ? internetChecksum(payload) === 0 : undefined),
    ...(isError && depth < MAX_DEPTH
      ? describeIpv4(rest, depth + 1).map((line) => `  about ${line}`)
      : hex("icmp data", rest)),
  ];
}

function describeSctp(payload: Uint8Array): string[] {
  const view = viewOf(payload);
  const zeroed = Uint8Array.from(payload);
  zeroed.fill(0, 8, 12);
  const checksum = view.getUint32(8, true);
  return [
    `sctp ports: ${view.getUint16(0)} -> ${view.getUint16(2)}`,
    `sctp verification tag: ${hexNumber(view.getUint32(4), 8)}`,
    checksumLine("sctp", checksum, crc32c(zeroed) === checksum, 8),
    ...hex("sctp chunks", payload.subarray(12)),
  ];
}

function transportChecksum(name: string, context: TransportContext, value: number): string {
  const { src, dst, protocol, payload, whole } = context;
  const covered = concat(pseudoHeader(src, dst, protocol, payload.length), payload);
  return checksumLine(name, value, whole ? internetChecksum(covered) === 0 : undefined);
}

function checksumLine(name: string, value: number, right: boolean | undefined, digits = 4): string {
  const verdict = right === undefined ? "not checked" : right ? "right" : "WRONG";
  return `${name} checksum: ${hexNumber(value, digits)} (${verdict})`;
}

function hexNumber(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function hex(name: string, bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let offset = 0; offset < bytes.length; offset += HEX_BYTES_PER_LINE) {
    const part = concat(bytes.subarray(offset, offset + HEX_BYTES_PER_LINE));
    lines.push(`${name} +${offset}: ${part.toHex()}`);
  }
  return lines;
}
