/** One call on the client: a request out, messages and a status back. */
import type { Channel } from "./channel.ts";
import { RpcCode, RpcError } from "./errors.ts";
import { encodeMessage, MessageDecoder } from "./framing.ts";
import { Http2Code, StreamError } from "./http2/error.ts";
import type { Header } from "./http2/hpack.ts";
import type { Http2Stream } from "./http2/stream.ts";
import { type CallStatus, statusOf, timeoutHeader, timerMs } from "./status.ts";

/** What a call needs beside its request. */
export interface CallOptions {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Milliseconds after which the call fails with DEADLINE_EXCEEDED; without one it may last. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** The longest message that is accepted. */
  readonly maxMessageBytes: number;
}

function requestHeaders({ path, timeoutMs }: CallOptions): Header[] {
  const headers: Header[] = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["te", "trailers"],
    ["content-type", "application/grpc+proto"],
  ];
  if (timeoutMs !== undefined) headers.push(["grpc-timeout", timeoutHeader(timeoutMs)]);
  return headers;
}

/** What a stream that ended without a status means (gRPC over HTTP2, "HTTP2 Transport Mapping"). */
function codeOfReset(reset: Http2Code | undefined): RpcCode {
  switch (reset) {
    case undefined:
    case Http2Code.REFUSED_STREAM:
      return RpcCode.UNAVAILABLE;
    case Http2Code.CANCEL:
      return RpcCode.CANCELLED;
    case Http2Code.ENHANCE_YOUR_CALM:
      return RpcCode.RESOURCE_EXHAUSTED;
    default:
      return RpcCode.INTERNAL;
  }
}

/** The status that an HTTP answer without grpc-status stands for; undefined for a good one. */
function statusOfHttp(headers: ReadonlyMap<string, string>): CallStatus | undefined {
  const http = headers.get(":status");
  if (http === undefined || http === "200") return undefined;
  return { error: new RpcError(RpcCode.UNKNOWN, `the server answers HTTP status ${http}`) };
}

/** One call, from before its stream exists until its status is known. */
class Call {
  readonly #options: CallOptions;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #interrupted: Promise<never>;
  #interrupt: (error: RpcError) => void;
  #stream: Http2Stream | undefined;
  #status: CallStatus | undefined;

  constructor(options: CallOptions) {
    this.#options = options;
    const { path, signal, timeoutMs } = options;
    const interrupted = Promise.withResolvers<never>();
    this.#interrupted = interrupted.promise;
    this.#interrupted.catch(() => {});
    this.#interrupt = interrupted.reject;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.#abandon(RpcCode.DEADLINE_EXCEEDED, `no answer to ${path} in ${timeoutMs} ms`);
      }, timerMs(timeoutMs));
    }
    signal?.addEventListener("abort", this.#onAbort);
  }

  /** Sends the request and gives the messages as they come, those together that came together. */
  async *messages(channel: Channel, request: Uint8Array): AsyncGenerator<Uint8Array[]> {
    const decoder = new MessageDecoder("answer", this.#options.maxMessageBytes);
    try {
      const stream = await Promise.race([this.#open(channel), this.#interrupted]);
      // Not waited for: the server may answer before it has read all. A failure shows when reading.
      stream.write(encodeMessage(request), true).catch(() => {});
      for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) {
        const messages = decoder.push(chunk);
        if (messages.length > 0) yield messages;
      }
    } catch (error) {
      throw this.#status?.error ?? asRpcError(error);
    } finally {
      this.#end();
    }
    if (this.#status === undefined) {
      throw new RpcError(RpcCode.UNKNOWN, "the answer has no status");
    }
    if (this.#status.error !== undefined) throw this.#status.error;
    if (decoder.incomplete) throw new RpcError(RpcCode.INTERNAL, "the answer ends in a message");
  }

  async #open(channel: Channel): Promise<Http2Stream> {
    const connection = await channel.connection();
    const stream = await connection.open(requestHeaders(this.#options), (list) => {
      const headers = new Map(list);
      this.#status ??= statusOf(headers) ?? statusOfHttp(headers);
    });
    this.#stream = stream;
    if (this.#status !== undefined) stream.reset(Http2Code.CANCEL);
    return stream;
  }

  #onAbort = () => this.#abandon(RpcCode.CANCELLED, "cancelled by the caller");

  #abandon(code: RpcCode, why: string): void {
    const error = new RpcError(code, why);
    this.#status ??= { error };
    this.#stream?.reset(Http2Code.CANCEL);
    this.#interrupt(error);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#stream?.reset(Http2Code.CANCEL);
  }
}

function asRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  if (error instanceof StreamError) {
    return new RpcError(codeOfReset(error.code), error.message, { cause: error });
  }
  return new RpcError(RpcCode.INTERNAL, String(error), { cause: error });
}

/**
 * Makes a call.
 * @returns the answer's messages, those together that came together; the call ends with the iteration
 * @throws {RpcError} while iterating, for every status but OK
 */
export async function* callMessages(
  channel: Channel,
  request: Uint8Array,
  options: CallOptions,
): AsyncGenerator<Uint8Array[]> {
  if (options.signal?.aborted) throw new RpcError(RpcCode.CANCELLED, "cancelled by the caller");
  yield* new Call(options).messages(channel, request);
}
