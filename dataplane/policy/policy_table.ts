/** A set of policy entries in typed arrays: 60,000 of them are built and compared in milliseconds. Pure. */

/** Bytes of one key, which are those of `struct policy_key` on a little-endian machine. */
export const POLICY_KEY_BYTES = 16;
const WORDS = POLICY_KEY_BYTES / 4;
const LEAST_CAPACITY = 64;

/** What a key decides. */
export interface PolicyDecision {
  /** Number of the proto enum PolicyAction. */
  readonly action: number;
  /** The rule that the entry comes from; 0: none was named. */
  readonly ruleId: number;
}

/**
 * Key words to decisions; the words are `struct policy_key` read as four little-endian numbers.
 *
 * Open addressing with linear probing, at most half full.
 */
export class PolicyTable {
  #capacity: number;
  #keys: Uint32Array<ArrayBuffer>;
  #actions: Uint8Array;
  #ruleIds: Uint32Array;
  #used: Uint8Array;
  #size = 0;

  /** @param expected Entries to make room for; the table grows past it. */
  constructor(expected = 0) {
    this.#capacity = capacityFor(expected);
    this.#keys = new Uint32Array(this.#capacity * WORDS);
    this.#actions = new Uint8Array(this.#capacity);
    this.#ruleIds = new Uint32Array(this.#capacity);
    this.#used = new Uint8Array(this.#capacity);
  }

  /** Entries in the table. */
  get size(): number {
    return this.#size;
  }

  /** The slot of a key, or -1. Slots hold until the next `set` or `delete`. */
  find(word0: number, word1: number, word2: number, word3: number): number {
    const slot = this.#probe(word0, word1, word2, word3);
    return this.#used[slot] === 1 ? slot : -1;
  }

  /** The slot of the key that stands in `slot` of `other`, or -1. */
  findIn(other: PolicyTable, slot: number): number {
    const at = slot * WORDS;
    const keys = other.#keys;
    return this.find(
      keys[at] as number,
      keys[at + 1] as number,
      keys[at + 2] as number,
      keys[at + 3] as number,
    );
  }

  /** Adds or replaces an entry. */
  set(
    word0: number,
    word1: number,
    word2: number,
    word3: number,
    action: number,
    ruleId: number,
  ): void {
    if ((this.#size + 1) * 2 > this.#capacity) this.#grow();
    const slot = this.#probe(word0, word1, word2, word3);
    if (this.#used[slot] === 0) {
      this.#used[slot] = 1;
      this.#size++;
      const at = slot * WORDS;
      this.#keys[at] = word0;
      this.#keys[at + 1] = word1;
      this.#keys[at + 2] = word2;
      this.#keys[at + 3] = word3;
    }
    this.#actions[slot] = action;
    this.#ruleIds[slot] = ruleId;
  }

  /** Adds or replaces the entry that stands in `slot` of `other`. */
  setFrom(other: PolicyTable, slot: number): void {
    this.set(
      other.word(slot, 0),
      other.word(slot, 1),
      other.word(slot, 2),
      other.word(slot, 3),
      other.action(slot),
      other.ruleId(slot),
    );
  }

  /** Removes an entry. @returns whether it was there. */
  delete(word0: number, word1: number, word2: number, word3: number): boolean {
    let hole = this.find(word0, word1, word2, word3);
    if (hole < 0) return false;
    this.#size--;
    // Entries behind the hole move up when their own probe sequence passes it.
    for (let slot = this.#next(hole); this.#used[slot] === 1; slot = this.#next(slot)) {
      const home = this.#homeOf(slot);
      if (((slot - home) & (this.#capacity - 1)) < ((slot - hole) & (this.#capacity - 1))) continue;
      this.#keys.copyWithin(hole * WORDS, slot * WORDS, (slot + 1) * WORDS);
      this.#actions[hole] = this.#actions[slot] as number;
      this.#ruleIds[hole] = this.#ruleIds[slot] as number;
      hole = slot;
    }
    this.#used[hole] = 0;
    return true;
  }

  /** The slots in use, in no order. */
  *slots(): Generator<number> {
    for (let slot = 0; slot < this.#capacity; slot++) if (this.#used[slot] === 1) yield slot;
  }

  /** Word `index` (0 to 3) of the key in `slot`. */
  word(slot: number, index: number): number {
    return this.#keys[slot * WORDS + index] as number;
  }

  /** The key in `slot` as bytes of `struct policy_key`, not copied. */
  keyBytes(slot: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#keys.buffer, slot * POLICY_KEY_BYTES, POLICY_KEY_BYTES);
  }

  /** The action in `slot`. */
  action(slot: number): number {
    return this.#actions[slot] as number;
  }

  /** The rule id in `slot`. */
  ruleId(slot: number): number {
    return this.#ruleIds[slot] as number;
  }

  #next(slot: number): number {
    return (slot + 1) & (this.#capacity - 1);
  }

  #homeOf(slot: number): number {
    const at = slot * WORDS;
    const keys = this.#keys;
    return hash(
      keys[at] as number,
      keys[at + 1] as number,
      keys[at + 2] as number,
      keys[at + 3] as number,
    ) & (this.#capacity - 1);
  }

  /** The key's slot, or the free one where it belongs. */
  #probe(word0: number, word1: number, word2: number, word3: number): number {
    const keys = this.#keys;
    let slot = hash(word0, word1, word2, word3) & (this.#capacity - 1);
    while (this.#used[slot] === 1) {
      const at = slot * WORDS;
      if (
        keys[at] === word0 && keys[at + 1] === word1 && keys[at + 2] === word2 &&
        keys[at + 3] === word3
      ) return slot;
      slot = this.#next(slot);
    }
    return slot;
  }

  #grow(): void {
    const bigger = new PolicyTable(this.#capacity);
    for (const slot of this.slots()) bigger.setFrom(this, slot);
    this.#capacity = bigger.#capacity;
    this.#keys = bigger.#keys;
    this.#actions = bigger.#actions;
    this.#ruleIds = bigger.#ruleIds;
    this.#used = bigger.#used;
  }
}

function capacityFor(expected: number): number {
  return Math.max(LEAST_CAPACITY, 2 ** Math.ceil(Math.log2(Math.max(1, expected) * 2)));
}

/** murmur3's mixing of four words. */
function hash(word0: number, word1: number, word2: number, word3: number): number {
  let h = mix(mix(mix(mix(0, word0), word1), word2), word3);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function mix(h: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  h ^= k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}
