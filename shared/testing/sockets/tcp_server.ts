import { inNetns } from "../../netns/netns.ts";
import type { LabNetns } from "../lab.ts";

/** A TCP server inside a namespace that sends back what it gets. */
export class TcpEchoServer implements AsyncDisposable {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #served: Promise<unknown>[] = [];
  #bytes = 0;

  /**
   * @param port 0: one that the kernel chooses
   * @throws {Deno.errors.AddrInUse}
   */
  constructor(netns: LabNetns, port = 0) {
    // Deno makes the socket within the call, on this thread; connections belong where the listener does.
    this.#listener = inNetns(netns.path, () => Deno.listen({ hostname: "0.0.0.0", port }));
    this.port = this.#listener.addr.port;
    this.#served.push(this.#accept());
  }

  /** Bytes that have come in over all connections. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#connections.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) close(connection);
    await Promise.all(this.#served);
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connections.add(connection);
        this.#served.push(this.#echo(connection));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #echo(connection: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(65536);
    try {
      for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
        this.#bytes += n;
        for (let sent = 0; sent < n;) sent += await connection.write(buffer.subarray(sent, n));
      }
    } catch {
      // Reset, or closed by us: the client's end tells.
    } finally {
      this.#connections.delete(connection);
      close(connection);
    }
  }
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
