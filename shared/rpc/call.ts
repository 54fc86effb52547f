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
  /** Whether a slow reader stops the connection; it must then have no other calls. Default: no. */
  readonly holdBack?: boolean;
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

/** Bytes that may wait for a slow reader before nothing more is taken from the connection. */
const MAX_UNREAD_BYTES = 1 << 20;

/** What a reset stream or a lost connection means when no status came. */
function codeOfReset(reset: number | undefined): RpcCode {
  return reset === constants.NGHTTP2_ENHANCE_YOUR_CALM
    ? RpcCode.RESOURCE_EXHAUSTED
    : RpcCode.UNAVAILABLE;
}

/**
 * Follows one HTTP/2 stream until its status is known. Keeps what came in a queue of its own: a stream whose
 * connection closes right after the answer loses what node:http2 has not handed out.
 */
class Call {
  readonly #stream: ClientHttp2Stream;
  readonly #connection: Connection;
  readonly #options: CallOptions;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #chunks: Uint8Array[] = [];
  #unreadBytes = 0;
  #ended = false;
  #closed = false;
  #status: CallStatus | undefined;
  #wake: (() => void) | undefined;

  constructor(connection: Connection, request: Uint8Array, options: CallOptions) {
    this.#connection = connection;
    this.#options = options;
    const stream = this.#stream = connection.request(requestHeaders(options));
    stream.on("response", (headers) => this.#settle(statusOf(headers) ?? statusOfHttp(headers)));
    stream.on("trailers", (headers) => this.#settle(statusOf(headers)));
    stream.on("data", (chunk: Uint8Array) => this.#take(chunk));
    stream.on("end", () => {
      this.#ended = true;
      this.#wake?.();
    });
    stream.on("close", () => {
      this.#closed = true;
      this.#wake?.();
    });
    // `close` follows; without a listener it would end the process.
    stream.on("error", () => {});
    const { path, signal, timeoutMs } = options;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.#abandon(RpcCode.DEADLINE_EXCEEDED, `no answer to ${path} in ${timeoutMs} ms`);
      }, timeoutMs);
    }
    signal?.addEventListener("abort", this.#onAbort);
    stream.end(encodeFrame(request));
  }

  /** The messages as they come. */
  async *messages(): AsyncGenerator<Uint8Array> {
    const decoder = new FrameDecoder("answer", this.#options.maxMessageBytes);
    try {
      for (;;) {
        for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) {
          yield* decoder.push(chunk);
        }
        if (this.#closed || (this.#ended && this.#status !== undefined)) break;
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      this.#end();
    }
    const error = this.#failure();
    if (error !== undefined) throw error;
    if (decoder.incomplete) throw new RpcError(RpcCode.INTERNAL, "the answer ends in a message");
  }

  #take(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#unreadBytes += chunk.length;
    // Deno's http2 opens the window again at once, read or not, so that the socket is where to hold back.
    if (this.#options.holdBack && this.#unreadBytes > MAX_UNREAD_BYTES) this.#connection.pause();
    this.#wake?.();
  }

  #next(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    this.#unreadBytes -= chunk?.length ?? 0;
    if (this.#options.holdBack && this.#unreadBytes < MAX_UNREAD_BYTES / 2) {
      this.#connection.resume();
    }
    return chunk;
  }

  #onAbort = () => this.#abandon(RpcCode.CANCELLED, "cancelled by the caller");

  #settle(status: CallStatus | undefined): void {
    this.#status ??= status;
    this.#wake?.();
  }

  #abandon(code: RpcCode, why: string): void {
    this.#settle({ error: new RpcError(code, why) });
    this.#chunks = [];
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#stream.destroy();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    if (!this.#closed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Why the call failed once its stream is over; undefined when its status is OK. */
  #failure(): RpcError | undefined {
    if (this.#status !== undefined) return this.#status.error;
    const cause = this.#connection.lost;
    const detail = cause?.message ?? "the connection was closed";
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
  yield* new Call(connection, request, options).messages();
}
