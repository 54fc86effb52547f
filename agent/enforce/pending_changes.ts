import {
  type CompiledCidr,
  type CompiledEntry,
  entryKey,
  type PolicyChanges,
} from "../policy/mod.ts";
import { cidrKey } from "./union.ts";

/** Changes as PatchPolicies takes them, but for the base. */
export interface PolicyPatch {
  readonly upserts: CompiledEntry[];
  readonly deletes: CompiledEntry[];
  readonly cidrUpserts: CompiledCidr[];
  readonly cidrDeletes: CompiledCidr[];
  readonly ruleNameUpserts: Record<number, string>;
  readonly ruleNameDeletes: number[];
}

/** What is to become of something: it comes (or is changed), or it goes. */
interface Pending<T> {
  readonly value: T;
  readonly comes: boolean;
}

/** Changes of the policy set that the dataplane has not been told yet, the last word about each thing. */
export class PendingChanges {
  readonly #entries = new Map<string, Pending<CompiledEntry>>();
  readonly #cidrs = new Map<string, Pending<CompiledCidr>>();
  readonly #names = new Map<number, Pending<string>>();

  /** Whether there is none. */
  get empty(): boolean {
    return this.#entries.size + this.#cidrs.size + this.#names.size === 0;
  }

  /** Adds what came after all that is there. */
  add(changes: PolicyChanges): void {
    // What goes comes first: a CIDR that has another identity now goes under the old one and comes under the new.
    for (const entry of changes.removed) put(this.#entries, entryKey(entry), entry, false);
    for (const entry of changes.upserted) put(this.#entries, entryKey(entry), entry, true);
    for (const cidr of changes.cidrsRemoved) put(this.#cidrs, cidrKey(cidr), cidr, false);
    for (const cidr of changes.cidrsAdded) put(this.#cidrs, cidrKey(cidr), cidr, true);
    for (const id of changes.rulesRemoved) put(this.#names, id, "", false);
    for (const [id, name] of Object.entries(changes.rulesAdded)) {
      put(this.#names, Number(id), name, true);
    }
  }

  /** Takes out what comes, and leaves what goes. */
  takeAdditions(): PolicyPatch {
    return {
      upserts: take(this.#entries, true),
      deletes: [],
      cidrUpserts: take(this.#cidrs, true),
      cidrDeletes: [],
      ruleNameUpserts: this.#takeNames(),
      ruleNameDeletes: [],
    };
  }

  /** Takes out everything. */
  takeAll(): PolicyPatch {
    const ruleNameDeletes = [...this.#names].filter(([, { comes }]) => !comes).map(([id]) => id);
    const patch = {
      ...this.takeAdditions(),
      deletes: take(this.#entries, false),
      cidrDeletes: take(this.#cidrs, false),
      ruleNameDeletes,
    };
    this.clear();
    return patch;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
    this.#cidrs.clear();
    this.#names.clear();
  }

  #takeNames(): Record<number, string> {
    const names: Record<number, string> = {};
    for (const [id, { value, comes }] of this.#names) {
      if (!comes) continue;
      names[id] = value;
      this.#names.delete(id);
    }
    return names;
  }
}

function put<K, V>(map: Map<K, Pending<V>>, key: K, value: V, comes: boolean): void {
  map.set(key, { value, comes });
}

function take<K, V>(map: Map<K, Pending<V>>, comes: boolean): V[] {
  const taken: V[] = [];
  for (const [key, pending] of map) {
    if (pending.comes !== comes) continue;
    taken.push(pending.value);
    map.delete(key);
  }
  return taken;
}
