/** A connection to a server's socket that is opened when it is needed, and again after it was lost. */
import { RpcCode, RpcError } from "./errors.ts";
import { Http2Connection } from "./http2/connection.ts";

/** How long to try while the server's queue of connections is full. */
const CONNECT_TIMEOUT_MS = 2000;
const FIRST_RETRY_MS = 1;
const MAX_RETRY_MS = 50;

async function connect(path: string): Promise<Deno.UnixConn> {
  const deadline = performance.now() + CONNECT_TIMEOUT_MS;
  for (let retryMs = FIRST_RETRY_MS;; retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
    try {
      return await Deno.connect({ transport: "unix", path });
    } catch (cause) {
      const full = cause instanceof Deno.errors.WouldBlock;
      if (!full || performance.now() > deadline) {
        const why = cause instanceof Error ? cause.message : String(cause);
        const text = `cannot connect to ${JSON.stringify(path)}: ${why}`;
        throw new RpcError(RpcCode.UNAVAILABLE, text, { cause });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** Keeps at most one connection. */
export class Channel implements Disposable {
  readonly #socketPath: string;
  #connection: Promise<Http2Connection> | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The connection; opened when there is none that works. @throws {RpcError} UNAVAILABLE when it can't be */
  async connection(): Promise<Http2Connection> {
    for (;;) {
      const opening = this.#connection ??= this.#open();
      try {
        const connection = await opening;
        if (connection.usable) return connection;
      } catch (error) {
        this.#forget(opening);
        throw error;
      }
      this.#forget(opening);
    }
  }

  /** Ends the connection and every call on it. */
  [Symbol.dispose](): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.then((open) => open.destroy(), () => {});
  }

  async #open(): Promise<Http2Connection> {
    return new Http2Connection(await connect(this.#socketPath));
  }

  #forget(opening: Promise<Http2Connection>): void {
    if (this.#connection === opening) this.#connection = undefined;
  }
}
