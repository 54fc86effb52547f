import type { Bucket, EntrySink } from "./bucket.ts";
import { TrackedMap } from "./change_tracker.ts";
import { type CompiledEntry, type Direction, entryKey, NODE_ENTRIES } from "./entries.ts";
import type { PolicyMode } from "./objects/types.ts";
import type { RuleNames } from "./rule_names.ts";
import { SelectedIdentity } from "./selected_identity.ts";

/** All selected identities of both directions, and the entries that come of them. */
export class Combinations {
  readonly #selected: Readonly<Record<Direction, Map<number, SelectedIdentity>>> = {
    ingress: new Map(),
    egress: new Map(),
  };
  readonly #dirty = new Set<SelectedIdentity>();
  readonly #entries = new TrackedMap<string, CompiledEntry>();
  readonly #sink: EntrySink = {
    put: (entry) => this.#entries.set(entryKey(entry), entry),
    remove: (entry) => this.#entries.delete(entryKey(entry)),
  };
  readonly #names: RuleNames;
  readonly #defaultDeny: boolean;

  /** @param defaultDeny whether what nothing isolates is closed. */
  constructor(names: RuleNames, defaultDeny: boolean) {
    this.#names = names;
    this.#defaultDeny = defaultDeny;
    for (const entry of NODE_ENTRIES) this.#sink.put(entry);
  }

  /** Lets a policy isolate an identity in a direction. */
  isolate(direction: Direction, identity: number, mode: PolicyMode, policy: string): void {
    this.#touch(direction, identity).isolators[mode].add(policy);
  }

  /** Takes a policy's isolation back. */
  release(direction: Direction, identity: number, mode: PolicyMode, policy: string): void {
    this.#touch(direction, identity).isolators[mode].delete(policy);
  }

  /** What policies of a mode allow an identity, to be changed. */
  bucket(direction: Direction, identity: number, mode: PolicyMode): Bucket {
    return this.#touch(direction, identity).buckets[mode];
  }

  /** A selected identity, to be looked at only. */
  peek(direction: Direction, identity: number): SelectedIdentity | undefined {
    return this.#selected[direction].get(identity);
  }

  /** Brings the entries up to date with all changes so far. */
  flush(): void {
    for (const selected of this.#dirty) {
      const { direction, identity } = selected;
      if (selected.flush(this.#sink, this.#names)) this.#selected[direction].delete(identity);
    }
    this.#dirty.clear();
  }

  /** The entries by key, as of the last flush. */
  get entries(): TrackedMap<string, CompiledEntry> {
    return this.#entries;
  }

  #touch(direction: Direction, identity: number): SelectedIdentity {
    const table = this.#selected[direction];
    const known = table.get(identity);
    const selected = known ?? new SelectedIdentity(direction, identity, this.#defaultDeny);
    if (known === undefined) table.set(identity, selected);
    this.#dirty.add(selected);
    return selected;
  }
}
