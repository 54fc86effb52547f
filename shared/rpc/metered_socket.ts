import { Duplex } from "node:stream";
import type { Socket } from "node:net";

const FRAME_HEADER_BYTES = 9;
const DATA = 0;
/** How every HTTP/2 client begins (RFC 9113, section 3.4). */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * A socket for an HTTP/2 session that tells how much of each stream's data has left.
 *
 * node:http2 of Deno 2.7 takes everything that is written to a stream at once, whatever the peer's window, and keeps
 * it in memory; its `drain` means nothing. What a session writes to its socket has passed the windows, so this
 * counts the payload of the DATA frames that go by.
 */
export class MeteredSocket extends Duplex {
  readonly #socket: Socket;
  readonly #meters = new Map<number, (bytes: number) => void>();
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #prefaceBytes = 0;
  #payloadBytes = 0;
  #meter: ((bytes: number) => void) | undefined;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk) => {
      if (!this.#isHttp2(chunk)) this.destroy();
      else if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    // Whoever reads notices the end; a peer that hangs up is no error.
    this.on("error", () => {});
  }

  /** Calls back whenever bytes of a stream's data were handed to the kernel. */
  meter(streamId: number, sent: (bytes: number) => void): Disposable {
    this.#meters.set(streamId, sent);
    return { [Symbol.dispose]: () => void this.#meters.delete(streamId) };
  }

  /** Whether a client has begun to speak HTTP/2. */
  get greeted(): boolean {
    return this.#prefaceBytes === PREFACE.length;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.write(chunk, (error) => {
      if (!error) this.#count(chunk);
      done(error);
    });
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#meters.clear();
    this.#socket.destroy();
    done(error);
  }

  /** Compares the first bytes; Deno's http2 keeps a connection that speaks something else open in silence. */
  #isHttp2(chunk: Uint8Array): boolean {
    for (const byte of chunk.subarray(0, PREFACE.length - this.#prefaceBytes)) {
      if (byte !== PREFACE[this.#prefaceBytes]) return false;
      this.#prefaceBytes++;
    }
    return true;
  }

  /** Walks over frames (RFC 9113, section 4.1), which end anywhere in a chunk. */
  #count(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadBytes > 0) {
        const part = Math.min(this.#payloadBytes, chunk.length - at);
        this.#meter?.(part);
        this.#payloadBytes -= part;
        at += part;
        continue;
      }
      const part = chunk.subarray(at, at + FRAME_HEADER_BYTES - this.#headerBytes);
      this.#header.set(part, this.#headerBytes);
      this.#headerBytes += part.length;
      at += part.length;
      if (this.#headerBytes === FRAME_HEADER_BYTES) this.#beginFrame();
    }
  }

  #beginFrame(): void {
    this.#headerBytes = 0;
    const view = new DataView(this.#header.buffer);
    this.#payloadBytes = view.getUint32(0) >>> 8;
    const isData = view.getUint8(3) === DATA;
    this.#meter = isData ? this.#meters.get(view.getUint32(5) & 0x7fff_ffff) : undefined;
  }
}
