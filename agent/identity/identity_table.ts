import { assignIdentities, firstTry } from "./assign.ts";
import { labelKey, type Labels } from "./label_set.ts";

/** One identity and what it stands for. */
export interface Identity {
  readonly id: number;
  readonly labels: Labels;
  /** How many holders it has. */
  readonly refCount: number;
}

/** A label set whose number another set took, as the order of sets demands. */
export interface Renumbering {
  readonly key: string;
  readonly from: number;
  readonly to: number;
}

/** What acquiring or releasing changed for others. */
export interface IdentityChange {
  /** The label set's number; after a release of the last holder the one it had. */
  readonly id: number;
  /** Whether the set was not known before, or is not known any more. */
  readonly setChanged: boolean;
  /** Other sets whose number changed; almost always none. */
  readonly renumbered: readonly Renumbering[];
}

interface Entry {
  id: number;
  /** Kept, because a hash costs more than all the rest. */
  readonly first: number;
  readonly labels: Labels;
  readonly holders: Set<string>;
}

/**
 * The label sets in use and their numbers, counted by holder: acquiring twice for the same holder is
 * acquiring once. Pure: storage is the caller's.
 */
export class IdentityTable {
  readonly #entries = new Map<string, Entry>();
  readonly #keyOfHolder = new Map<string, string>();
  readonly #tryFirst: (key: string) => number;

  /** @param tryFirst for tests: the number that a label set tries first */
  constructor(tryFirst: (key: string) => number = firstTry) {
    this.#tryFirst = tryFirst;
  }

  /** How many identities are in use. */
  get size(): number {
    return this.#entries.size;
  }

  /** The number of a label set in use. */
  idOf(labels: Labels): number | undefined {
    return this.#entries.get(labelKey(labels))?.id;
  }

  /** The number that a holder's label set has now. */
  idOfHolder(holder: string): number | undefined {
    const key = this.#keyOfHolder.get(holder);
    return key === undefined ? undefined : this.#entries.get(key)?.id;
  }

  /** All identities in use, by number. */
  list(): Identity[] {
    return [...this.#entries.values()]
      .map(({ id, labels, holders }) => ({ id, labels, refCount: holders.size }))
      .sort((a, b) => a.id - b.id);
  }

  /** Gives a holder this label set's identity; one that held another set gives that back. */
  acquire(labels: Labels, holder: string): IdentityChange {
    const key = labelKey(labels);
    const old = this.#keyOfHolder.get(holder);
    let changed = false;
    if (old !== undefined && old !== key) changed = this.#drop(old, holder);
    this.#keyOfHolder.set(holder, key);
    const known = this.#entries.get(key);
    if (known !== undefined) known.holders.add(holder);
    else this.#insert(key, labels, holder);
    changed ||= known === undefined;
    const renumbered = changed ? this.#renumber() : [];
    return {
      id: this.#entries.get(key)?.id ?? 0,
      setChanged: changed,
      renumbered: renumbered.filter((move) => move.from !== 0),
    };
  }

  /** Takes a holder's identity back; undefined when it has none. */
  release(holder: string): IdentityChange | undefined {
    const key = this.#keyOfHolder.get(holder);
    const id = this.idOfHolder(holder);
    if (key === undefined || id === undefined) return undefined;
    this.#keyOfHolder.delete(holder);
    const setChanged = this.#drop(key, holder);
    return { id, setChanged, renumbered: setChanged ? this.#renumber() : [] };
  }

  #insert(key: string, labels: Labels, holder: string): void {
    const first = this.#tryFirst(key);
    this.#entries.set(key, { id: 0, first, labels, holders: new Set([holder]) });
  }

  #drop(key: string, holder: string): boolean {
    const entry = this.#entries.get(key);
    entry?.holders.delete(holder);
    if (entry === undefined || entry.holders.size > 0) return false;
    return this.#entries.delete(key);
  }

  #renumber(): Renumbering[] {
    const moves: Renumbering[] = [];
    const first = (key: string) => this.#entries.get(key)?.first ?? 0;
    for (const [key, to] of assignIdentities(this.#entries.keys(), first)) {
      const entry = this.#entries.get(key);
      if (entry === undefined || entry.id === to) continue;
      moves.push({ key, from: entry.id, to });
      entry.id = to;
    }
    return moves;
  }
}
