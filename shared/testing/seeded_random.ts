/** A small generator of repeatable random numbers (mulberry32), so that a failed fuzz run can be run again. */
export class SeededRandom {
  #state: number;

  /** @param seed any 32-bit number. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** @returns an integer from 0 to limit - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  /** @returns true so many times of a hundred. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  /** @returns one of the items, of which there is at least one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** @returns that many random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** @returns a copy with a few bytes changed and, at times, its end cut off. */
  damage(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const copy = Uint8Array.from(bytes);
    for (let change = this.below(4); change >= 0; change--) {
      if (copy.length > 0) copy[this.below(copy.length)] = this.below(256);
    }
    return this.below(3) === 0 ? copy.slice(0, this.below(copy.length + 1)) : copy;
  }
}
