import { TrackedMap } from "./change_tracker.ts";
import type { IdAllocator } from "./stable_ids.ts";

/** The names of the rules in force with their ids, and what changed among them. */
export class RuleNames {
  readonly #ids: IdAllocator;
  readonly #names = new TrackedMap<number, string>();
  readonly #holders = new Map<string, number>();

  constructor(ids: IdAllocator) {
    this.#ids = ids;
  }

  /** Takes hold of a rule name. @returns its id. */
  acquire(name: string): number {
    const id = this.#ids.acquire(name);
    const holders = this.#holders.get(name) ?? 0;
    this.#holders.set(name, holders + 1);
    if (holders === 0) this.#names.set(id, name);
    return id;
  }

  /** Lets go of a rule name that is held. */
  release(name: string, id: number): void {
    this.#ids.release(name);
    const holders = (this.#holders.get(name) ?? 0) - 1;
    if (holders > 0) {
      this.#holders.set(name, holders);
      return;
    }
    this.#holders.delete(name);
    this.#names.delete(id);
  }

  /** The name of an id that is held. */
  get(id: number): string | undefined {
    return this.#names.current.get(id);
  }

  /** All names by id. */
  all(): Record<number, string> {
    return Object.fromEntries(this.#names.current);
  }

  /** The names that came and the ids that went since the last call. */
  takeChanges(): { added: Record<number, string>; removed: number[] } {
    const { upserted, removed } = this.#names.take((a, b) => a === b);
    return { added: Object.fromEntries(upserted), removed: removed.map(([id]) => id) };
  }
}
