import { Bucket, type EntrySink } from "./bucket.ts";
import type { CompiledEntry, Direction } from "./entries.ts";
import { isolationEntry, isolationName } from "./isolation.ts";
import type { PolicyMode } from "./objects/types.ts";
import type { RuleNames } from "./rule_names.ts";

const MODES: readonly PolicyMode[] = ["enforce", "audit"];

/**
 * One direction of an identity that policies select: who isolates it, and what is allowed. Policies
 * only ever allow more, so those in audit mode could have dropped something only where no other one
 * isolates and the default does not deny: there they count, and nowhere else.
 */
export class SelectedIdentity {
  readonly buckets: Readonly<Record<PolicyMode, Bucket>>;
  /** `NAMESPACE/NAME` of the policies that isolate the identity in the direction. */
  readonly isolators: Readonly<Record<PolicyMode, Set<string>>> = {
    enforce: new Set(),
    audit: new Set(),
  };
  readonly direction: Direction;
  readonly identity: number;
  readonly #defaultDeny: boolean;
  #isolation: { readonly name: string; readonly entry: CompiledEntry } | undefined;

  /** @param defaultDeny whether what nothing isolates is closed. */
  constructor(direction: Direction, identity: number, defaultDeny: boolean) {
    this.direction = direction;
    this.identity = identity;
    this.#defaultDeny = defaultDeny;
    this.buckets = {
      enforce: new Bucket(direction, identity),
      audit: new Bucket(direction, identity),
    };
  }

  /** The mode of the policies that count; undefined when none does. */
  get mode(): PolicyMode | undefined {
    if (this.isolators.enforce.size > 0) return "enforce";
    return this.isolators.audit.size > 0 && !this.#defaultDeny ? "audit" : undefined;
  }

  /** Brings all entries up to date. @returns whether no policy selects the identity any more. */
  flush(sink: EntrySink, names: RuleNames): boolean {
    const { mode } = this;
    for (const other of MODES) if (other !== mode) this.buckets[other].retract(sink);
    if (mode !== undefined) this.buckets[mode].flush(sink);
    const before = this.#isolation;
    const name = mode && isolationName(this.isolators[mode], this.direction, mode);
    if (name !== before?.name) {
      this.#isolation = mode && name ? this.#isolate(name, mode, names) : undefined;
      if (before !== undefined) {
        if (this.#isolation === undefined) sink.remove(before.entry);
        names.release(before.name, before.entry.ruleId);
      }
      if (this.#isolation !== undefined) sink.put(this.#isolation.entry);
    }
    return MODES.every((each) => this.isolators[each].size === 0);
  }

  #isolate(
    name: string,
    mode: PolicyMode,
    names: RuleNames,
  ): { name: string; entry: CompiledEntry } {
    const ruleId = names.acquire(name);
    return { name, entry: isolationEntry(this.identity, this.direction, ruleId, mode) };
  }
}
