import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";

/** A prime number of bytes that do not repeat, three times over: what is lost, doubled or swapped does not fit any more. */
const PERIOD = 65_521;
const PATTERN = pattern();

/** How fast a transfer goes. */
export interface TransferOptions {
  /** Bytes that are sent at once, at most 64 KiB. */
  readonly chunkBytes?: number | undefined;
  readonly pauseMs?: number | undefined;
  /** The server to use, which stays the caller's; default one of its own. */
  readonly server?: TcpEchoServer | undefined;
}

/**
 * A TCP connection on which numbered data goes to a server and comes back, as long as it is not ended. It takes a small
 * part of what the way could carry, so that a pause has no other cause than the way.
 */
export class Transfer implements AsyncDisposable {
  readonly #server: TcpEchoServer | undefined;
  readonly #client: TcpClient;
  readonly #pump: Promise<void>;
  readonly #chunkBytes: number;
  readonly #pauseMs: number;
  #sent = 0;
  #received = 0;
  #longestPauseMs = 0;
  #ending = false;
  #disposed = false;

  private constructor(
    client: TcpClient,
    server: TcpEchoServer | undefined,
    { chunkBytes = 32 * 1024, pauseMs = 2 }: TransferOptions,
  ) {
    this.#client = client;
    this.#server = server;
    this.#chunkBytes = chunkBytes;
    this.#pauseMs = pauseMs;
    this.#pump = this.#run();
    // Told by end() or dispose.
    this.#pump.catch(() => {});
  }

  /** Connects and begins. @param ip the server's */
  static async start(
    from: LabNetns,
    to: LabNetns,
    ip: string,
    options: TransferOptions = {},
  ): Promise<Transfer> {
    const own = options.server === undefined ? new TcpEchoServer(to) : undefined;
    try {
      const { port } = options.server ?? own ?? assert.fail();
      return new Transfer(await TcpClient.connect(from, { ip, port }), own, options);
    } catch (error) {
      await own?.[Symbol.asyncDispose]();
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
  async progress(bytes = 10 * this.#chunkBytes): Promise<void> {
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
    if (this.#disposed) return;
    this.#disposed = true;
    this.#ending = true;
    this.#client.close();
    await this.#pump.catch(() => {});
    await this.#server?.[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    let last = performance.now();
    while (!this.#ending || this.#received < this.#sent) {
      if (!this.#ending) this.#sent += this.#client.send(dataAt(this.#sent, this.#chunkBytes));
      for (let data = this.#client.take(); data !== undefined; data = this.#client.take()) {
        if (data.length === 0) throw new Error("the server closed the connection");
        if (!equal(data, dataAt(this.#received, data.length))) {
          throw new Error(`other bytes than those sent came back, from ${this.#received} on`);
        }
        this.#received += data.length;
        const now = performance.now();
        this.#longestPauseMs = Math.max(this.#longestPauseMs, now - last);
        last = now;
      }
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    }
  }
}

function pattern(): Uint8Array {
  const bytes = new Uint8Array(3 * PERIOD);
  let state = 1;
  for (let i = 0; i < PERIOD; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0;
    bytes[i] = bytes[i + PERIOD] = bytes[i + 2 * PERIOD] = state >>> 24;
  }
  return bytes;
}

function dataAt(position: number, length: number): Uint8Array {
  const from = position % PERIOD;
  return PATTERN.subarray(from, from + length);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
