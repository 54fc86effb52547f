import { Bucket, type EntrySink } from "./bucket.ts";
import type { CompiledEntry, Direction } from "./entries.ts";
import { isolationEntry, isolationName } from "./isolation.ts";
import type { RuleNames } from "./rule_names.ts";

/** One direction of an identity that policies select: who isolates it, and what is allowed. */
export class SelectedIdentity {
  readonly bucket: Bucket;
  /** `NAMESPACE/NAME` of the policies that isolate the identity in the direction. */
  readonly isolators = new Set<string>();
  readonly #direction: Direction;
  readonly #identity: number;
  #isolation: { readonly name: string; readonly entry: CompiledEntry } | undefined;

  constructor(direction: Direction, identity: number) {
    this.#direction = direction;
    this.#identity = identity;
    this.bucket = new Bucket(direction, identity);
  }

  /** Brings all entries up to date. @returns whether nothing is left of them. */
  flush(sink: EntrySink, names: RuleNames): boolean {
    this.bucket.flush(sink);
    const before = this.#isolation;
    const name = this.isolators.size === 0
      ? undefined
      : isolationName(this.isolators, this.#direction);
    if (name === before?.name) return name === undefined;
    this.#isolation = name === undefined ? undefined : this.#isolate(name, names);
    if (before !== undefined) {
      if (this.#isolation === undefined) sink.remove(before.entry);
      names.release(before.name, before.entry.ruleId);
    }
    if (this.#isolation !== undefined) sink.put(this.#isolation.entry);
    return this.#isolation === undefined;
  }

  #isolate(name: string, names: RuleNames): { name: string; entry: CompiledEntry } {
    return { name, entry: isolationEntry(this.#identity, this.#direction, names.acquire(name)) };
  }
}
