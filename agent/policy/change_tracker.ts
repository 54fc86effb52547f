/** A map that can say what is different since it was last asked. Values are compared by identity. */
export class TrackedMap<K, V> {
  readonly #current = new Map<K, V>();
  /** Touched keys with their values at the last look. */
  readonly #before = new Map<K, V | undefined>();

  /** The current contents. */
  get current(): ReadonlyMap<K, V> {
    return this.#current;
  }

  set(key: K, value: V): void {
    this.#remember(key);
    this.#current.set(key, value);
  }

  delete(key: K): void {
    this.#remember(key);
    this.#current.delete(key);
  }

  /**
   * What changed since the last call, net: what went and came back alike is no change.
   * @param same whether two values count as equal.
   */
  take(same: (before: V, now: V) => boolean): { upserted: [K, V][]; removed: [K, V][] } {
    const upserted: [K, V][] = [];
    const removed: [K, V][] = [];
    for (const [key, before] of this.#before) {
      const now = this.#current.get(key);
      if (now === undefined) {
        if (before !== undefined) removed.push([key, before]);
      } else if (before === undefined || !same(before, now)) upserted.push([key, now]);
    }
    this.#before.clear();
    return { upserted, removed };
  }

  #remember(key: K): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#current.get(key));
  }
}
