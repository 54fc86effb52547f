import { Coalesced } from "../enforce/coalesce.ts";
import { getLogger } from "../../shared/log.ts";

const log = getLogger("agent/http");

/** The address for metrics cannot be served. */
export class MetricsAddressError extends Error {
  override readonly name = "MetricsAddressError";

  constructor(readonly address: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`Cannot serve metrics_address ${JSON.stringify(address)}: ${why}`, { cause });
  }
}

/** What the HTTP server asks the agent. */
export interface HttpSources {
  readonly version: string;
  /** Why the agent is not ready; empty when it is. */
  notReady(): readonly string[];
  /** Whether the dataplane answers. */
  dataplaneConnected(): boolean;
  /** The metrics as text, and their media type. */
  metrics(): Promise<{ readonly text: string; readonly contentType: string }>;
}

/**
 * Serves /metrics, /healthz and /readyz (wire/novanet.md section 11).
 * @param address `host:port` or `:port` for all addresses
 * @returns a function that stops the server
 * @throws {MetricsAddressError} when it cannot listen
 */
export function serveHttp(address: string, sources: HttpSources): () => Promise<void> {
  const colon = address.lastIndexOf(":");
  // However many ask at once, the metrics are gathered for one at a time.
  const metrics = new Coalesced(() => sources.metrics());
  const shared = { ...sources, metrics: () => metrics.run() };
  const hostname = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1") || "0.0.0.0";
  try {
    const server = Deno.serve({
      hostname,
      port: Number(address.slice(colon + 1)),
      onListen: () => log.info("serving metrics", { address }),
    }, (request) => respond(request, shared));
    return () => server.shutdown();
  } catch (cause) {
    throw new MetricsAddressError(address, cause);
  }
}

async function respond(request: Request, sources: HttpSources): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("only GET\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  switch (new URL(request.url).pathname) {
    case "/metrics": {
      const { text, contentType } = await sources.metrics();
      return new Response(text, { headers: { "content-type": contentType } });
    }
    case "/healthz":
      return health(
        sources.dataplaneConnected() ? [] : ["dataplane not connected"],
        sources.version,
      );
    case "/readyz":
      return health(sources.notReady(), sources.version);
    default:
      return new Response("try /metrics, /healthz or /readyz\n", { status: 404 });
  }
}

function health(reasons: readonly string[], version: string): Response {
  if (reasons.length === 0) return Response.json({ status: "ok", version });
  const body = { status: "not ready", reason: reasons.join("; "), version };
  return Response.json(body, { status: 503 });
}
