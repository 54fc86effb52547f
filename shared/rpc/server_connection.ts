/** One connection of a client, whose streams are calls. */
import type { Serve } from "./dispatch.ts";
import { unimplemented } from "./errors.ts";
import { type ByteStream, Http2Connection } from "./http2/connection.ts";
import type { Header } from "./http2/hpack.ts";
import type { Http2Stream } from "./http2/stream.ts";
import { Http2Code } from "./http2/error.ts";
import { ServerCall } from "./server_call.ts";

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
function httpRefusal(headers: ReadonlyMap<string, string>): string | undefined {
  if (headers.get(":method") !== "POST") return "405";
  const isGrpc = /^application\/grpc(\+proto)?(;|$)/.test(headers.get("content-type") ?? "");
  return isGrpc ? undefined : "415";
}

/** Serves calls on a socket; the connection runs until either side ends it. */
export function serveConnection(io: ByteStream, options: ConnectionOptions): Http2Connection {
  const connection = new Http2Connection(io, {
    maxStreams: options.maxCalls,
    onStream: (stream, headers) => serveStream(stream, headers, options),
  });
  const greeting = setTimeout(() => {
    if (!connection.peerSpoke) connection.destroy();
  }, GREETING_TIMEOUT_MS);
  void connection.closed.then(() => clearTimeout(greeting));
  return connection;
}

function serveStream(
  stream: Http2Stream,
  list: readonly Header[],
  options: ConnectionOptions,
): void {
  const headers = new Map(list);
  const refusal = httpRefusal(headers);
  if (refusal !== undefined) {
    stream.sendHeaders([[":status", refusal]], true);
    if (!stream.remoteEnded) stream.reset(Http2Code.NO_ERROR);
    return;
  }
  const call = new ServerCall(stream, headers.get("grpc-timeout"));
  const path = headers.get(":path") ?? "";
  const serve = options.serveOf(path);
  if (serve === undefined) call.end(unimplemented(path));
  else void serve(call);
}
