/** Runs jobs one after the other. Pure. */

import { RpcCode } from "../../shared/rpc/errors.ts";

/** The queue is full: the caller may try again later. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";
  readonly rpcCode = RpcCode.RESOURCE_EXHAUSTED;

  constructor(readonly capacity: number) {
    super(`cannot queue: ${capacity} jobs wait already`);
  }
}

/** A bounded queue of asynchronous jobs of which one runs at a time, in the order in which they came. */
export class SerialQueue {
  readonly #capacity: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param capacity Jobs that may wait or run at once. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * Runs a job when those before it are done, failed ones too.
   *
   * @returns What the job returns.
   * @throws QueueFullError when too many wait; else what the job throws.
   */
  async run<T>(job: () => Promise<T> | T): Promise<T> {
    if (this.#waiting >= this.#capacity) throw new QueueFullError(this.#capacity);
    this.#waiting++;
    const result = this.#last.then(job);
    this.#last = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      this.#waiting--;
    }
  }

  /** Waits until all jobs that are in the queue now are done. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
