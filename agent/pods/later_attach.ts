import { getLogger } from "../../shared/log.ts";
import { toRpcError } from "../../shared/rpc/errors.ts";

const log = getLogger("agent/pods");

/** What {@linkcode LaterAttach} works with. */
export interface LaterAttachOptions {
  /** Moves the programs of a host interface to TCX. */
  readonly attach: (hostIfName: string) => Promise<void>;
  /** So long there must be no call, in milliseconds. */
  readonly quietMs?: number;
  /** After so long a program is moved all the same, in milliseconds. */
  readonly mostMs?: number;
}

/**
 * Moves programs that came quickly, by a filter, to TCX: one interface after the other, and when no pod is being added or
 * deleted, because the kernel locks all links meanwhile. A program that is not moved works as well.
 */
export class LaterAttach implements AsyncDisposable {
  readonly #options: Required<LaterAttachOptions>;
  /** Host interfaces, and when they came. */
  readonly #waiting = new Map<string, number>();
  #callsUnderWay = 0;
  #lastCallEnd = 0;
  #timer: number | undefined;
  #working: Promise<void> | undefined;

  constructor(options: LaterAttachOptions) {
    this.#options = { quietMs: 1000, mostMs: 10_000, ...options };
  }

  /** Ends it, after the interface that is at its turn. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting.clear();
    clearTimeout(this.#timer);
    await this.#working;
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
    this.#waiting.set(hostIfName, performance.now());
    this.#schedule();
  }

  /** The interface is to go, if it waits still. */
  forget(hostIfName: string): void {
    this.#waiting.delete(hostIfName);
  }

  #schedule(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#working !== undefined) return;
    const [hostIfName, since] = first;
    const { quietMs, mostMs } = this.#options;
    const quietAt = this.#callsUnderWay > 0 ? Infinity : this.#lastCallEnd + quietMs;
    const waitMs = Math.min(quietAt, since + mostMs) - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#working === undefined) this.#working = this.#move(hostIfName);
    }, Math.max(0, waitMs));
  }

  async #move(hostIfName: string): Promise<void> {
    if (this.#waiting.delete(hostIfName)) {
      try {
        await this.#options.attach(hostIfName);
      } catch (error) {
        const why = toRpcError(error).message;
        log.warn("not moved to TCX", { link: hostIfName, error: why });
      }
    }
    this.#working = undefined;
    this.#schedule();
  }
}
