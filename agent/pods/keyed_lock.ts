/** Runs work for one key one after the other, for different keys at once. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Whether work for a key goes on or waits. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Runs `work` when all earlier work for `key` is done, whether that failed or not. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }
}
