/** gRPC servers on unix sockets, with health and reflection. */
import type { DescService } from "@bufbuild/protobuf";
import { dropForeignPeers } from "../ffi/peercred.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { getLogger } from "../log.ts";
import { type CallRecord, type DispatchOptions, type Serve, servedMethod } from "./dispatch.ts";
import { RpcCode } from "./errors.ts";
import { HealthRegistry } from "./health.ts";
import type { Http2Connection } from "./http2/connection.ts";
import { Reflection } from "./reflection.ts";
import { type AnyHandler, methodPath, RawUnary, type ServiceImpl } from "./service.ts";
import { serveConnection } from "./server_connection.ts";
import { UnixListener } from "./unix_listener.ts";

export type { CallRecord } from "./dispatch.ts";
export type { CallContext, RawRequest, ServiceImpl } from "./service.ts";
export { rawUnary } from "./service.ts";
export { ListenError } from "./unix_listener.ts";

const log = getLogger("rpc");

/** Options of {@linkcode RpcServer}. */
export interface RpcServerOptions {
  /** Longest message in bytes, both ways; default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Open connections of one socket; default 512. More are closed at once. */
  readonly maxConnections?: number;
  /** Calls at once on one connection; default 256. More wait in the client. */
  readonly maxCallsPerConnection?: number;
  /** Hears of every finished call, for metrics. */
  readonly onCall?: (record: CallRecord) => void;
  /**
   * Shuts down accepted connections of a socket whose peer is not root, and returns how many. Default: by
   * SO_PEERCRED through shared/ffi; tests without root pass another.
   */
  readonly checkPeers?: (socketPath: string) => number;
}

/** What a server takes unless it is told otherwise. */
export const SERVER_LIMITS = {
  maxMessageBytes: 64 << 20,
  maxConnections: 512,
  maxCallsPerConnection: 256,
} as const;

const DEFAULT_OPTIONS: Required<RpcServerOptions> = {
  ...SERVER_LIMITS,
  onCall: () => {},
  checkPeers: (socketPath) => dropForeignPeers(socketPath, 0),
};

/** Serves gRPC services on unix sockets; every socket has all services. */
export class RpcServer {
  readonly #options: Required<RpcServerOptions>;
  readonly #methods = new Map<string, Serve>();
  readonly #listeners: UnixListener[] = [];
  readonly #connections = new Set<Http2Connection>();
  readonly #services: DescService[] = [];
  readonly #health = new HealthRegistry();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: RpcServerOptions = {}) {
    this.#options = { ...DEFAULT_OPTIONS, ...options };
    const reflection = new Reflection(() => this.#services);
    this.add(Health, this.#health.service);
    this.add(ServerReflection, reflection.v1);
    this.add(ServerReflectionAlpha, reflection.v1alpha);
  }

  /**
   * Adds a service, SERVING from now on.
   * @throws {TypeError} when it was added before, or has a method kind that is not supported
   */
  add<S extends DescService>(service: S, impl: ServiceImpl<S>): this {
    if (this.#services.includes(service)) {
      throw new TypeError(`Cannot add ${service.typeName}: it was added before`);
    }
    const handlers = impl as Readonly<
      Record<string, AnyHandler | RawUnary<object, object> | undefined>
    >;
    const options: DispatchOptions = {
      closing: this.#closing.signal,
      maxMessageBytes: this.#options.maxMessageBytes,
      onCall: (record) => this.#finished(record),
    };
    for (const method of service.methods) {
      const handler = handlers[method.localName];
      if (handler === undefined) continue;
      const bound = handler instanceof RawUnary ? handler : handler.bind(impl);
      this.#methods.set(methodPath(method), servedMethod(method, bound, options));
    }
    this.#services.push(service);
    this.#health.set(service.typeName, true);
    return this;
  }

  /** Says through grpc.health.v1 whether a service, or without one the whole server, works. */
  setServing(serving: boolean, service?: DescService): void {
    this.#health.set(service?.typeName ?? "", serving);
  }

  /**
   * Listens on a unix socket, see unix_listener.ts for modes and stale sockets. May be called for several.
   * @throws {ListenError} when another server serves the path, or it can't be bound
   */
  async listenUnix(socketPath: string): Promise<void> {
    const listener = await UnixListener.listen(socketPath, {
      checkPeers: this.#options.checkPeers,
      maxConnections: this.#options.maxConnections,
      onConnection: (connection) => this.#connected(connection),
      onRefused: (why) => log.warn("connection refused", { socket: socketPath, why }),
    });
    this.#listeners.push(listener);
  }

  /**
   * Takes no more connections and calls, ends streams with UNAVAILABLE, and waits for unary calls.
   * @param graceMs how long these may take; what is left then is cut off
   */
  close(graceMs: number): Promise<void> {
    return this.#closed ??= this.#close(graceMs);
  }

  async #close(graceMs: number): Promise<void> {
    this.#health.set("", false);
    const listeners = this.#listeners.map((listener) => listener.close());
    this.#closing.abort();
    for (const connection of this.#connections) connection.close();
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await Promise.all([...this.#connections].map((connection) => connection.closed));
    clearTimeout(timer);
    await Promise.all(listeners);
  }

  async #connected(socket: Deno.UnixConn): Promise<void> {
    const connection = serveConnection(socket, {
      maxCalls: this.#options.maxCallsPerConnection,
      serveOf: (path) => this.#methods.get(path),
    });
    this.#connections.add(connection);
    await connection.closed;
    this.#connections.delete(connection);
  }

  #finished(record: CallRecord): void {
    if (record.code === RpcCode.INTERNAL && record.error !== undefined) {
      const { error, service, method } = record;
      const cause = error.cause instanceof Error ? error.cause.stack : undefined;
      log.error("call failed", { service, method, error: error.message, cause });
    }
    this.#options.onCall(record);
  }
}
