import { Ipv4 } from "../../net/ipv4.ts";
import { Mac } from "../../net/mac.ts";

/** Bytes of a packet, or a part of one. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** An address as a test writes it. */
export type IpLike = Ipv4 | string;

/** A MAC as a test writes it. */
export type MacLike = Mac | string;

/** @returns the address. @throws {NetParseError} */
export function toIp(ip: IpLike): Ipv4 {
  return typeof ip === "string" ? Ipv4.parse(ip) : ip;
}

/** @returns the MAC. @throws {NetParseError} */
export function toMac(mac: MacLike): Mac {
  return typeof mac === "string" ? Mac.parse(mac) : mac;
}

/** @returns the UTF-8 bytes of text, or the bytes themselves. */
export function toBytes(data: string | Uint8Array): Bytes {
  return typeof data === "string" ? new TextEncoder().encode(data) : Uint8Array.from(data);
}

/** @returns one after the other. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** @returns the number in network order, two bytes. */
export function u16(value: number): Bytes {
  const bytes = new Uint8Array(2);
  new DataView(bytes.buffer).setUint16(0, value);
  return bytes;
}

/** @returns the number in network order, four bytes. */
export function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** @returns a view of the bytes for reading numbers. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
