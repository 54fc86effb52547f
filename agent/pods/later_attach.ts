import { getLogger } from "../../shared/log.ts";
import { RpcCode, toRpcError } from "../../shared/rpc/errors.ts";

const log = getLogger("agent/pods");
/** How often one interface is tried: what fails so often is not the kernel's bad moment. */
const MOST_TRIES = 5;

/** What {@linkcode LaterAttach} works with. */
export interface LaterAttachOptions {
  /** Moves the programs of a host interface to TCX. */
  readonly attach: (hostIfName: string) => Promise<void>;
  /** So long there must be no call, in milliseconds. */
  readonly quietMs?: number;
  /** After so long a program is moved all the same, in milliseconds. */
  readonly mostMs?: number;
}

/** An interface whose turn will come. */
interface Waiting {
  readonly since: number;
  readonly tries: number;
}

/**
 * Moves programs that came quickly, by a filter, to TCX: one interface after the other, and when no pod is being added or
 * deleted, because the kernel locks all links meanwhile. A program that is not moved works as well; it is tried again.
 */
export class LaterAttach implements AsyncDisposable {
  readonly #options: Required<LaterAttachOptions>;
  /** By host interface. */
  readonly #waiting = new Map<string, Waiting>();
  #callsUnderWay = 0;
  #lastCallEnd = 0;
  #timer: number | undefined;
  #working: Promise<void> | undefined;

  constructor(options: LaterAttachOptions) {
    this.#options = { quietMs: 1000, mostMs: 10_000, ...options };
  }

  /** Ends it, after the interface that is at its turn. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#clear();
    await this.#working;
    // It may have failed, and wait again.
    this.#clear();
  }

  /** Runs a call that should not have to wait. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.#callsUnderWay++;
    try {
      return await call();
    } finally {
      this.#callsUnderWay--;
      this.#lastCallEnd = performance.now();
      this.#schedule();
    }
  }

  /** Has an interface's programs moved. */
  add(hostIfName: string): void {
    this.#wait(hostIfName, 0);
  }

  /** The interface is to go, if it waits still. */
  forget(hostIfName: string): void {
    this.#waiting.delete(hostIfName);
    this.#schedule();
  }

  #wait(hostIfName: string, tries: number): void {
    this.#waiting.set(hostIfName, { since: performance.now(), tries });
    this.#schedule();
  }

  #clear(): void {
    this.#waiting.clear();
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const [first] = this.#waiting;
    if (first === undefined || this.#working !== undefined) return;
    const [hostIfName, { since, tries }] = first;
    const { quietMs, mostMs } = this.#options;
    const quietAt = this.#callsUnderWay > 0 ? Infinity : this.#lastCallEnd + quietMs;
    const waitMs = Math.min(quietAt, since + mostMs) - performance.now();
    this.#timer = setTimeout(() => {
      this.#waiting.delete(hostIfName);
      this.#working = this.#move(hostIfName, tries + 1).finally(() => {
        this.#working = undefined;
        this.#schedule();
      });
    }, Math.max(0, waitMs));
  }

  async #move(hostIfName: string, tries: number): Promise<void> {
    try {
      await this.#options.attach(hostIfName);
    } catch (thrown) {
      const { code, message } = toRpcError(thrown);
      log.warn("not moved to TCX", { link: hostIfName, error: message, tries });
      // What failed is not tried again before it was quiet for a while.
      this.#lastCallEnd = performance.now();
      if (code !== RpcCode.NOT_FOUND && tries < MOST_TRIES) this.#wait(hostIfName, tries);
    }
  }
}
