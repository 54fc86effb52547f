/** Messages as gRPC frames them: a compression flag, a length of 32 bits, big-endian, and the message. */
import { RpcCode, RpcError } from "./errors.ts";

const HEADER_BYTES = 5;

/** One message with its header. */
export function encodeMessage(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, HEADER_BYTES);
  return frame;
}

/** Cuts a byte stream into messages. */
export class MessageDecoder {
  readonly #what: string;
  readonly #maxMessageBytes: number;
  #chunks: Uint8Array[] = [];
  #pendingBytes = 0;

  /** @param what names the messages in errors: "request" or "answer" */
  constructor(what: string, maxMessageBytes: number) {
    this.#what = what;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Whether a message has begun and not ended. */
  get incomplete(): boolean {
    return this.#pendingBytes > 0;
  }

  /**
   * Takes the next bytes.
   * @returns the messages that are complete now; they are copies or parts of `chunk`
   * @throws {RpcError} RESOURCE_EXHAUSTED for a message above the limit; UNIMPLEMENTED for a compressed
   *     one
   */
  push(chunk: Uint8Array): Uint8Array[] {
    this.#chunks.push(chunk);
    this.#pendingBytes += chunk.length;
    const messages: Uint8Array[] = [];
    if (this.#pendingBytes < HEADER_BYTES) return messages;
    // A long message is joined only when it is complete.
    const first = this.#messageBytes(this.#peekHeader(), 0);
    if (this.#pendingBytes < HEADER_BYTES + first) return messages;
    const bytes = this.#joined();
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + HEADER_BYTES + this.#messageBytes(bytes, at);
      if (end > bytes.length) break;
      messages.push(bytes.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.#pendingBytes = bytes.length - at;
    this.#chunks = this.#pendingBytes > 0 ? [bytes.subarray(at)] : [];
    return messages;
  }

  #messageBytes(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== 0) {
      throw new RpcError(RpcCode.UNIMPLEMENTED, `the ${this.#what} is compressed`);
    }
    const length = (bytes[at + 1]! << 24 | bytes[at + 2]! << 16 | bytes[at + 3]! << 8 |
      bytes[at + 4]!) >>> 0;
    if (length > this.#maxMessageBytes) {
      throw new RpcError(
        RpcCode.RESOURCE_EXHAUSTED,
        `the ${this.#what} has ${length} bytes, more than ${this.#maxMessageBytes}`,
      );
    }
    return length;
  }

  #peekHeader(): Uint8Array {
    const first = this.#chunks[0];
    return first !== undefined && first.length >= HEADER_BYTES ? first : this.#joined();
  }

  /** All pending bytes as one chunk. */
  #joined(): Uint8Array {
    const only = this.#chunks[0];
    if (this.#chunks.length === 1 && only !== undefined) return only;
    const joined = new Uint8Array(this.#pendingBytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, offset);
      offset += chunk.length;
    }
    this.#chunks = [joined];
    return joined;
  }
}
