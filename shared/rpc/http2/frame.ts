/** Frames of HTTP/2 (RFC 9113, section 4). */
import { Http2Code, Http2Error } from "./error.ts";

/** Types of frames. */
export enum FrameType {
  DATA = 0,
  HEADERS = 1,
  PRIORITY = 2,
  RST_STREAM = 3,
  SETTINGS = 4,
  PUSH_PROMISE = 5,
  PING = 6,
  GOAWAY = 7,
  WINDOW_UPDATE = 8,
  CONTINUATION = 9,
}

/** Flags of frames; ACK and END_STREAM share a bit. */
export const Flag = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

/** Settings that we send or obey. */
export const Setting = {
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
} as const;

/** How a client begins. */
export const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The longest payload that a peer may send unless settings say otherwise, as ours never do. */
export const DEFAULT_MAX_PAYLOAD = 16_384;
const HEADER_BYTES = 9;

/** One frame; the payload is a part of what was received. */
export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** A frame as bytes. */
export function encodeFrame(
  type: FrameType,
  flags: number,
  streamId: number,
  payload: Uint8Array = new Uint8Array(),
): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, payload.length * 0x100 + type);
  view.setUint8(4, flags);
  view.setUint32(5, streamId);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Payload of numbers of 32 bits. */
export function words(...values: number[]): Uint8Array {
  const payload = new Uint8Array(values.length * 4);
  const view = new DataView(payload.buffer);
  values.forEach((value, at) => view.setUint32(at * 4, value));
  return payload;
}

/** Payload of a SETTINGS frame. */
export function settingsPayload(settings: readonly (readonly [number, number])[]): Uint8Array {
  const payload = new Uint8Array(settings.length * 6);
  const view = new DataView(payload.buffer);
  settings.forEach(([id, value], at) => {
    view.setUint16(at * 6, id);
    view.setUint32(at * 6 + 2, value);
  });
  return payload;
}

/** The number of 32 bits at an offset of a payload. */
export function wordAt(payload: Uint8Array, offset: number): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(offset);
}

/**
 * A payload without padding and, for HEADERS, without a priority.
 * @throws {Http2Error} when the padding is longer than the payload
 */
export function withoutPadding({ flags, payload, type }: Frame): Uint8Array {
  const padding = flags & Flag.PADDED ? payload[0] ?? 0 : 0;
  const start = (flags & Flag.PADDED ? 1 : 0) +
    (type === FrameType.HEADERS && flags & Flag.PRIORITY ? 5 : 0);
  if (start + padding > payload.length) {
    throw new Http2Error(Http2Code.PROTOCOL_ERROR, "a frame is all padding");
  }
  return payload.subarray(start, payload.length - padding);
}

/** Cuts what a peer sends into frames. */
export class FrameReader {
  #pending = new Uint8Array();
  #expected: Uint8Array;

  /** @param preface what must come before the first frame */
  constructor(preface: Uint8Array) {
    this.#expected = preface;
  }

  /**
   * Takes the next bytes, which must not change afterwards.
   * @throws {Http2Error} for a wrong preface or a frame that is too long
   */
  *push(chunk: Uint8Array): Generator<Frame> {
    let bytes = this.#join(this.#skipPreface(chunk));
    while (bytes.length >= HEADER_BYTES) {
      const first = wordAt(bytes, 0);
      const end = HEADER_BYTES + (first >>> 8);
      if (end > HEADER_BYTES + DEFAULT_MAX_PAYLOAD) {
        throw new Http2Error(Http2Code.FRAME_SIZE_ERROR, "a frame is too long");
      }
      if (bytes.length < end) break;
      yield {
        type: first & 0xff,
        flags: bytes[4]!,
        streamId: wordAt(bytes, 5) & 0x7fff_ffff,
        payload: bytes.subarray(HEADER_BYTES, end),
      };
      bytes = bytes.subarray(end);
    }
    this.#pending = bytes;
  }

  #skipPreface(chunk: Uint8Array): Uint8Array {
    const part = Math.min(this.#expected.length, chunk.length);
    for (let at = 0; at < part; at++) {
      if (chunk[at] !== this.#expected[at]) {
        throw new Http2Error(Http2Code.PROTOCOL_ERROR, "the peer does not speak HTTP/2");
      }
    }
    this.#expected = this.#expected.subarray(part);
    return chunk.subarray(part);
  }

  #join(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
    if (this.#pending.length === 0) return chunk as Uint8Array<ArrayBuffer>;
    const joined = new Uint8Array(this.#pending.length + chunk.length);
    joined.set(this.#pending);
    joined.set(chunk, this.#pending.length);
    return joined;
  }
}
