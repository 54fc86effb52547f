import { LITTLE_ENDIAN } from "./constants.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";

const HEADER_SIZE = 16;

/** One netlink message: struct nlmsghdr and what follows it (RFC 3549 section 2.3.2). */
export interface NetlinkMessage {
  /** NLMSG_* or RTM_*. */
  readonly type: number;
  /** NLM_F_*. */
  readonly flags: number;
  /** Echoed in the answers to a request; 0 in notifications. */
  readonly seq: number;
  /** The netlink port of the socket that asked; not a process id. */
  readonly pid: number;
  /** The bytes after the header, padding left out. */
  readonly payload: Uint8Array;
}

/** @returns the length rounded up to netlink's four-byte alignment. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** @returns the message's bytes, padded to four. */
export function encodeMessage(message: NetlinkMessage): Uint8Array<ArrayBuffer> {
  const length = HEADER_SIZE + message.payload.length;
  const bytes = new Uint8Array(align4(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, LITTLE_ENDIAN);
  view.setUint16(4, message.type, LITTLE_ENDIAN);
  view.setUint16(6, message.flags, LITTLE_ENDIAN);
  view.setUint32(8, message.seq, LITTLE_ENDIAN);
  view.setUint32(12, message.pid, LITTLE_ENDIAN);
  bytes.set(message.payload, HEADER_SIZE);
  return bytes;
}

/**
 * Splits a datagram into its messages.
 * @param bytes what one recv returned; the payloads are views into it.
 * @throws {NetlinkDecodeError} when a length does not fit the bytes.
 */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < bytes.length;) {
    if (bytes.length - offset < HEADER_SIZE) {
      throw new NetlinkDecodeError("message", offset, `${bytes.length - offset} bytes left over`);
    }
    const length = view.getUint32(offset, LITTLE_ENDIAN);
    if (length < HEADER_SIZE || length > bytes.length - offset) {
      const why = `length ${length} with ${bytes.length - offset} bytes there`;
      throw new NetlinkDecodeError("message", offset, why);
    }
    messages.push({
      type: view.getUint16(offset + 4, LITTLE_ENDIAN),
      flags: view.getUint16(offset + 6, LITTLE_ENDIAN),
      seq: view.getUint32(offset + 8, LITTLE_ENDIAN),
      pid: view.getUint32(offset + 12, LITTLE_ENDIAN),
      payload: bytes.subarray(offset + HEADER_SIZE, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}
