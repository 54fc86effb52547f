/** One call on the server: an HTTP/2 stream with requests in, answers and a status out. */
import { RpcCode, RpcError } from "./errors.ts";
import { encodeMessage, MessageDecoder } from "./framing.ts";
import { Http2Code } from "./http2/error.ts";
import type { Header } from "./http2/hpack.ts";
import type { Http2Stream } from "./http2/stream.ts";
import { statusHeaders, timeoutMsOf, timerMs } from "./status.ts";

const RESPONSE_HEADERS: readonly Header[] = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
];

/** A call that a client made. Ends once, with a status, a cancellation or the connection. */
export class ServerCall {
  readonly #stream: Http2Stream;
  readonly #abort = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #headersSent = false;
  #ended = false;
  #interrupt: ((reason: RpcError) => void) | undefined;

  /** @param timeout the client's grpc-timeout header */
  constructor(stream: Http2Stream, timeout: string | undefined) {
    this.#stream = stream;
    stream.onError = () => this.abort(new RpcError(RpcCode.CANCELLED, "cancelled by the client"));
    const timeoutMs = timeoutMsOf(timeout);
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.abort(new RpcError(RpcCode.DEADLINE_EXCEEDED, "the client's deadline passed"));
      }, timerMs(timeoutMs));
    }
  }

  /** Aborted with an {@linkcode RpcError} when nobody waits for an answer any more. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Tells the handler to stop; {@linkcode end} still decides what the client hears. */
  abort(reason: RpcError): void {
    if (this.#ended) return;
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
    const decoder = new MessageDecoder("request", maxMessageBytes);
    for (let chunk = await this.#read(); chunk !== undefined; chunk = await this.#read()) {
      yield* decoder.push(chunk);
    }
    if (decoder.incomplete) throw new RpcError(RpcCode.INTERNAL, "the request ends in a message");
  }

  /**
   * Sends a message.
   * @returns when the client and the socket have taken it
   * @throws {RpcError} when the call is aborted first
   */
  send(message: Uint8Array): Promise<void> {
    return this.sendFramed(encodeMessage(message));
  }

  /** As {@linkcode send}, for messages that have their headers. @throws {RpcError} */
  sendFramed(frames: Uint8Array): Promise<void> {
    return this.unlessAborted(this.#write(frames));
  }

  /** Ends the call with a status. */
  end(error?: RpcError): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    const status = statusHeaders(error);
    this.#stream.sendHeaders(this.#headersSent ? status : [...RESPONSE_HEADERS, ...status], true);
    // What the client still sends is of no use.
    if (!this.#stream.remoteEnded) this.#stream.reset(Http2Code.NO_ERROR);
  }

  #read(): Promise<Uint8Array | undefined> {
    return this.unlessAborted(this.#stream.read());
  }

  #write(frames: Uint8Array): Promise<void> {
    if (!this.#headersSent) {
      this.#headersSent = true;
      this.#stream.sendHeaders(RESPONSE_HEADERS);
    }
    return this.#stream.write(frames);
  }
}
