/**
 * Hands values from a fast producer to one slow reader. When it is full new values are lost, and
 * counted: the producer never waits.
 */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #capacity: number;
  #head = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  /** @param capacity how many values wait at most */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many values wait. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** @returns false when there was no room, or the queue has ended: the value is lost */
  push(value: T): boolean {
    if (this.#ended || this.size >= this.#capacity) return false;
    this.#items.push(value);
    this.#notify();
    return true;
  }

  /** Lets the reader finish what waits and then end. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** The values in order; for one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      while (this.size > 0) yield this.#take();
      if (this.#ended) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #take(): T {
    const value = this.#items[this.#head++] as T;
    if (this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return value;
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
