/** One call on the server: an HTTP/2 stream with requests in, answers and a status out. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { RpcCode, RpcError } from "./errors.ts";
import { encodeFrame, FrameDecoder } from "./framing.ts";
import type { MeteredSocket } from "./metered_socket.ts";
import { statusHeaders, timeoutMsOf } from "./status.ts";

/** Bytes of answers that may wait for the peer before the next is asked for. */
const MAX_QUEUED_BYTES = 256 << 10;

const RESPONSE_HEADERS = { ":status": 200, "content-type": "application/grpc+proto" };

/** A call that a client made. Ends once, with a status, a cancellation or the connection. */
export class ServerCall {
  readonly #stream: ServerHttp2Stream;
  readonly #abort = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #meter: Disposable;
  #queuedBytes = 0;
  #progress: (() => void) | undefined;
  #interrupt: ((reason: RpcError) => void) | undefined;
  #ended = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: MeteredSocket) {
    this.#stream = stream;
    this.#meter = socket.meter(stream.id ?? 0, (bytes) => {
      this.#queuedBytes -= bytes;
      this.#progress?.();
    });
    stream.on("error", () => {});
    stream.once("close", () => this.#release());
    const timeoutMs = timeoutMsOf(headers["grpc-timeout"]);
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.abort(new RpcError(RpcCode.DEADLINE_EXCEEDED, "the client's deadline passed"));
      }, timeoutMs);
    }
  }

  /** Aborted with an {@linkcode RpcError} when nobody waits for an answer any more. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Tells the handler to stop; {@linkcode end} still decides what the client hears. */
  abort(reason: RpcError): void {
    this.#abort.abort(reason);
    this.#interrupt?.(reason);
  }

  /**
   * Waits for one thing at a time. Not Promise.race with a promise of the abort: a stream that lasts would hang a
   * reaction on that for every message.
   * @throws {RpcError} the reason, when the call is aborted first
   */
  unlessAborted<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.signal.aborted) reject(this.signal.reason);
      this.#interrupt = reject;
      work.then(resolve, reject);
    });
  }

  /** The client's messages. @throws {RpcError} for frames that are too long or compressed */
  async *requests(maxMessageBytes: number): AsyncGenerator<Uint8Array> {
    const decoder = new FrameDecoder("request", maxMessageBytes);
    const chunks = this.#stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
    for await (const chunk of chunks) yield* decoder.push(chunk);
    if (decoder.incomplete) throw new RpcError(RpcCode.INTERNAL, "the request ends in a message");
  }

  /**
   * Sends a message.
   * @returns when little enough of what was sent waits for the peer
   * @throws {RpcError} when the call is aborted meanwhile
   */
  async send(message: Uint8Array): Promise<void> {
    if (this.#stream.destroyed) await this.unlessAborted(new Promise(() => {}));
    this.#enqueue(message);
    while (this.#queuedBytes > MAX_QUEUED_BYTES) {
      await this.unlessAborted(new Promise<void>((resolve) => this.#progress = resolve));
    }
  }

  /** Sends the only message of a unary call and its end. */
  answer(message: Uint8Array): void {
    if (!this.#stream.destroyed && !this.#ended) this.#enqueue(message);
    this.end();
  }

  /** Ends the call with a status. */
  end(error?: RpcError): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#stream.destroyed) return;
    if (!this.#stream.headersSent) {
      this.#stream.respond({ ...RESPONSE_HEADERS, ...statusHeaders(error) }, { endStream: true });
    } else {
      this.#stream.once("wantTrailers", () => this.#stream.sendTrailers(statusHeaders(error)));
      this.#stream.end();
    }
    // What the client still sends is of no use; without this it would fill memory or hold the stream open.
    if (!this.#stream.readableEnded) this.#stream.once("finish", () => this.#refuseRest());
  }

  #refuseRest(): void {
    if (!this.#stream.readableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #enqueue(message: Uint8Array): void {
    if (!this.#stream.headersSent) {
      this.#stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
    }
    const frame = encodeFrame(message);
    this.#queuedBytes += frame.length;
    this.#stream.write(frame);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#meter[Symbol.dispose]();
    this.#progress?.();
    if (!this.#ended) this.abort(new RpcError(RpcCode.CANCELLED, "cancelled by the client"));
  }
}
