/** One call on a connection: a request out, messages and a status back. */
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import type { Connection } from "./connection.ts";
import { RpcCode, RpcError } from "./errors.ts";
import { encodeFrame, FrameDecoder } from "./framing.ts";
import { type CallStatus, statusOf, timeoutHeader } from "./status.ts";

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

function requestHeaders({ path, timeoutMs }: CallOptions): Record<string, string> {
  const headers: Record<string, string> = {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc+proto",
    te: "trailers",
  };
  if (timeoutMs !== undefined) {
    headers["grpc-timeout"] = timeoutHeader(timeoutMs);
  }
  return headers;
}

/** What a stream reset by the server means (gRPC over HTTP2, "HTTP2 Transport Mapping"). */
function codeOfReset(reset: number | undefined): RpcCode {
  switch (reset) {
    case constants.NGHTTP2_CANCEL:
      return RpcCode.CANCELLED;
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return RpcCode.RESOURCE_EXHAUSTED;
    default:
      return RpcCode.UNAVAILABLE;
  }
}

/** Follows one HTTP/2 stream until its status is known. */
class Call {
  readonly #stream: ClientHttp2Stream;
  readonly #connection: Connection;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #closed: Promise<void>;
  #status: CallStatus | undefined;

  constructor(connection: Connection, request: Uint8Array, options: CallOptions) {
    this.#connection = connection;
    this.#signal = options.signal;
    const stream = this.#stream = connection.request(requestHeaders(options));
    this.#closed = new Promise((resolve) => stream.once("close", resolve));
    stream.on("response", (headers) => this.#settle(statusOf(headers) ?? statusOfHttp(headers)));
    stream.on("trailers", (headers) => this.#settle(statusOf(headers)));
    // Reading reports it too; without a listener it would end the process.
    stream.on("error", () => {});
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.#abandon(RpcCode.DEADLINE_EXCEEDED, `no answer to ${options.path} in ${timeoutMs} ms`);
      }, timeoutMs);
    }
    this.#signal?.addEventListener("abort", this.#onAbort);
    stream.end(encodeFrame(request));
  }

  /** The messages as they come; nothing more is taken from the connection while the reader works. */
  async *messages(maxMessageBytes: number): AsyncGenerator<Uint8Array> {
    const decoder = new FrameDecoder("answer", maxMessageBytes);
    try {
      for await (const chunk of this.#stream as AsyncIterable<Uint8Array>) {
        yield* decoder.push(chunk);
      }
    } catch (error) {
      if (error instanceof RpcError) throw error;
      throw await this.#failure(error);
    } finally {
      this.#end();
    }
    const error = await this.#failure();
    if (error !== undefined) throw error;
    if (decoder.incomplete) throw new RpcError(RpcCode.INTERNAL, "the answer ends in a message");
  }

  #onAbort = () => this.#abandon(RpcCode.CANCELLED, "cancelled by the caller");

  #settle(status: CallStatus | undefined): void {
    this.#status ??= status;
  }

  #abandon(code: RpcCode, why: string): void {
    this.#settle({ error: new RpcError(code, why) });
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#stream.destroy();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Why the call failed once its stream is over; undefined when its status is OK. */
  async #failure(thrown?: unknown): Promise<RpcError | undefined> {
    if (this.#status === undefined) await this.#closed;
    if (this.#status !== undefined) return this.#status.error;
    const cause = this.#connection.lost ?? thrown;
    const detail = cause instanceof Error ? cause.message : "the connection was closed";
    return new RpcError(codeOfReset(this.#stream.rstCode), detail, { cause });
  }
}

/** The status that an HTTP answer without grpc-status stands for; undefined for a good one. */
function statusOfHttp(headers: IncomingHttpHeaders): CallStatus | undefined {
  const http = headers[":status"];
  if (Number(http) === 200) return undefined;
  return { error: new RpcError(RpcCode.UNKNOWN, `the server answers HTTP status ${http}`) };
}

/**
 * Makes a call.
 * @returns the answer's messages; the call ends with the iteration
 * @throws {RpcError} while iterating, for every status but OK
 */
export async function* callMessages(
  connection: Connection,
  request: Uint8Array,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  if (options.signal?.aborted) throw new RpcError(RpcCode.CANCELLED, "cancelled by the caller");
  yield* new Call(connection, request, options).messages(options.maxMessageBytes);
}
