import assert from "node:assert/strict";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";

const CHUNK = new Uint8Array(32 * 1024);
const PAUSE_MS = 2;

/**
 * A TCP connection on which data goes to a server and comes back, as long as it is not ended. It takes a small part of
 * what the way could carry, so that a pause has no other cause than the way.
 */
export class Transfer implements AsyncDisposable {
  readonly #server: TcpEchoServer;
  readonly #client: TcpClient;
  readonly #pump: Promise<void>;
  #sent = 0;
  #received = 0;
  #longestPauseMs = 0;
  #ending = false;

  private constructor(server: TcpEchoServer, client: TcpClient) {
    this.#server = server;
    this.#client = client;
    this.#pump = this.#run();
    // Told by end() or dispose.
    this.#pump.catch(() => {});
  }

  /** Connects and begins. @param ip the server's */
  static async start(from: LabNetns, to: LabNetns, ip: string): Promise<Transfer> {
    const server = new TcpEchoServer(to);
    try {
      return new Transfer(server, await TcpClient.connect(from, { ip, port: server.port }));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Bytes that have come back. */
  get received(): number {
    return this.#received;
  }

  /** Longest time without a byte that came back. */
  get longestPauseMs(): number {
    return this.#longestPauseMs;
  }

  /** Segments that the kernel had to send again. */
  get retransmissions(): number {
    return this.#client.retransmissions;
  }

  /** Waits until so many more bytes have come back. @throws {SysError} ECONNRESET and the like */
  async progress(bytes = 10 * CHUNK.length): Promise<void> {
    const goal = this.#received + bytes;
    await Promise.race([
      this.#pump,
      eventually(() => this.#received >= goal, { what: "progress of a transfer" }),
    ]);
    assert(this.#received >= goal, "the connection ended");
  }

  /** Sends no more, and waits for what is on its way. @throws {AssertionError} when bytes are missing */
  async end(): Promise<void> {
    this.#ending = true;
    await this.#pump;
    assert.equal(this.#received, this.#sent);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    this.#client.close();
    await this.#pump.catch(() => {});
    await this.#server[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    let last = performance.now();
    while (!this.#ending || this.#received < this.#sent) {
      if (!this.#ending) this.#sent += this.#client.send(CHUNK);
      for (let data = this.#client.take(); data !== undefined; data = this.#client.take()) {
        if (data.length === 0) throw new Error("the server closed the connection");
        this.#received += data.length;
        const now = performance.now();
        this.#longestPauseMs = Math.max(this.#longestPauseMs, now - last);
        last = now;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
