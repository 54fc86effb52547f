/** One connection of a client: an HTTP/2 session whose streams are calls. */
import {
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { Serve } from "./dispatch.ts";
import { unimplemented } from "./errors.ts";
import { MeteredSocket } from "./metered_socket.ts";
import { ServerCall } from "./server_call.ts";

/** Bytes that a client may send ahead of the handler, per stream. */
const WINDOW_BYTES = 1 << 20;

/** How long a client may take to begin to speak HTTP/2. */
const GREETING_TIMEOUT_MS = 10_000;

/** What connections of a server share. */
export interface ConnectionOptions {
  /** Calls at once. */
  readonly maxCalls: number;
  /** Finds the method at `/package.Service/Method`. */
  readonly serveOf: (path: string) => Serve | undefined;
}

/** Why an HTTP request is no gRPC call, as an HTTP status; undefined when it is one. */
function httpRefusal(headers: IncomingHttpHeaders): number | undefined {
  if (headers[":method"] !== "POST") return 405;
  return /^application\/grpc(\+proto)?(;|$)/.test(headers["content-type"] ?? "") ? undefined : 415;
}

/** Serves a socket until either side closes it. */
export class ServerConnection {
  readonly #socket: MeteredSocket;
  readonly #options: ConnectionOptions;
  #session: ServerHttp2Session | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#options = options;
    this.#socket = new MeteredSocket(socket);
    this.closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    const greeting = setTimeout(() => {
      if (!this.#socket.greeted) this.destroy();
    }, GREETING_TIMEOUT_MS);
    void this.closed.then(() => clearTimeout(greeting));
    // A server of its own for each connection ties streams to their socket; http2 does not tell it.
    const http2 = createServer({
      settings: { maxConcurrentStreams: options.maxCalls, initialWindowSize: WINDOW_BYTES },
    });
    http2.on("session", (session) => {
      this.#session = session;
      session.on("error", () => this.destroy());
    });
    http2.on("stream", (stream, headers) => this.#serve(stream, headers));
    http2.emit("connection", this.#socket);
  }

  /** Takes no more calls, and ends when those that run have ended. */
  close(): void {
    if (this.#session === undefined) this.destroy();
    else this.#session.close(() => this.#socket.end());
  }

  /** Ends the connection and its calls. */
  destroy(): void {
    this.#session?.destroy();
    this.#socket.destroy();
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const refusal = httpRefusal(headers);
    if (refusal !== undefined) {
      stream.on("error", () => {});
      stream.respond({ ":status": refusal }, { endStream: true });
      return;
    }
    const call = new ServerCall(stream, headers, this.#socket);
    const path = headers[":path"] ?? "";
    const serve = this.#options.serveOf(path);
    if (serve === undefined) call.end(unimplemented(path));
    else void serve(call);
  }
}
