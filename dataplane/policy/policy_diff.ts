/** What turns one policy set into another. Pure. */

import { PolicyAbsent } from "../../shared/gen/abi.ts";
import type { PolicyKeyWords } from "./policy_entry.ts";
import { POLICY_KEY_BYTES, type PolicyTable } from "./policy_table.ts";

/** The action of a key that has no entry. */
export const { POLICY_ABSENT } = PolicyAbsent;

const WORDS = POLICY_KEY_BYTES / 4;

/** Changed keys beside what they decided and will decide. */
export interface PolicyChanges {
  /** How many keys change. */
  readonly count: number;
  /** `count` keys as `struct policy_key`. */
  readonly keys: Uint8Array<ArrayBuffer>;
  /** Two for each key: the old action and the new one, `POLICY_ABSENT` where there is none. */
  readonly actions: Uint8Array;
  /** Two for each key: the old rule id and the new one, 0 where there is none. */
  readonly ruleIds: Uint32Array;
  readonly added: number;
  readonly removed: number;
  readonly updated: number;
}

/** The changes that lead from `current` to `desired`. */
export function diffPolicies(current: PolicyTable, desired: PolicyTable): PolicyChanges {
  const builder = new ChangesBuilder();
  for (const slot of desired.slots()) addChange(builder, current, desired, slot);
  for (const slot of current.slots()) {
    if (desired.findIn(current, slot) < 0) builder.remove(current, slot);
  }
  return builder.build();
}

/** Entries to add or replace, and keys to take away; no key is in both. */
export interface EntryPatch {
  readonly upserts: PolicyTable;
  /** Only its keys count; those that are not there are passed over. */
  readonly deletes: PolicyTable;
}

/** The changes that a patch makes of `current`: they cost what the patch has, not what the set has. */
export function diffPatch(current: PolicyTable, { upserts, deletes }: EntryPatch): PolicyChanges {
  const builder = new ChangesBuilder();
  for (const slot of upserts.slots()) addChange(builder, current, upserts, slot);
  for (const slot of deletes.slots()) {
    const before = current.findIn(deletes, slot);
    if (before >= 0) builder.remove(current, before);
  }
  return builder.build();
}

/** Makes of a table what changes that were worked out for it lead to. */
export function applyChanges(table: PolicyTable, changes: PolicyChanges): void {
  const { count, keys, actions, ruleIds } = changes;
  const words = new Uint32Array(keys.buffer, keys.byteOffset, count * WORDS);
  for (let i = 0; i < count; i++) {
    const [word0, word1, word2, word3] = wordsAt(words, i);
    const action = actions[i * 2 + 1] as number;
    if (action === POLICY_ABSENT) table.delete(word0, word1, word2, word3);
    else table.set(word0, word1, word2, word3, action, ruleIds[i * 2 + 1] as number);
  }
}

/** The four words of the key that stands at an index; a tuple is several times as fast as a subarray. */
export function wordsAt(words: Uint32Array, index: number): PolicyKeyWords {
  const at = index * WORDS;
  return [
    words[at] as number,
    words[at + 1] as number,
    words[at + 2] as number,
    words[at + 3] as number,
  ];
}

function addChange(
  builder: ChangesBuilder,
  current: PolicyTable,
  desired: PolicyTable,
  slot: number,
): void {
  const before = current.findIn(desired, slot);
  if (before < 0) builder.add(desired, slot, undefined, -1);
  else if (
    current.action(before) !== desired.action(slot) ||
    current.ruleId(before) !== desired.ruleId(slot)
  ) builder.add(desired, slot, current, before);
}

class ChangesBuilder {
  #capacity = 64;
  #count = 0;
  #keys = new Uint8Array(this.#capacity * POLICY_KEY_BYTES);
  #actions = new Uint8Array(this.#capacity * 2);
  #ruleIds = new Uint32Array(this.#capacity * 2);
  #added = 0;
  #removed = 0;
  #updated = 0;

  add(desired: PolicyTable, slot: number, current: PolicyTable | undefined, before: number): void {
    if (current === undefined) this.#added++;
    else this.#updated++;
    this.#push(
      desired.keyBytes(slot),
      current?.action(before) ?? POLICY_ABSENT,
      desired.action(slot),
      current?.ruleId(before) ?? 0,
      desired.ruleId(slot),
    );
  }

  remove(current: PolicyTable, slot: number): void {
    this.#removed++;
    this.#push(
      current.keyBytes(slot),
      current.action(slot),
      POLICY_ABSENT,
      current.ruleId(slot),
      0,
    );
  }

  build(): PolicyChanges {
    const count = this.#count;
    return {
      count,
      keys: this.#keys.slice(0, count * POLICY_KEY_BYTES),
      actions: this.#actions.slice(0, count * 2),
      ruleIds: this.#ruleIds.slice(0, count * 2),
      added: this.#added,
      removed: this.#removed,
      updated: this.#updated,
    };
  }

  #push(
    key: Uint8Array,
    oldAction: number,
    newAction: number,
    oldRule: number,
    newRule: number,
  ): void {
    if (this.#count === this.#capacity) this.#grow();
    const at = this.#count++;
    this.#keys.set(key, at * POLICY_KEY_BYTES);
    this.#actions[at * 2] = oldAction;
    this.#actions[at * 2 + 1] = newAction;
    this.#ruleIds[at * 2] = oldRule;
    this.#ruleIds[at * 2 + 1] = newRule;
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#keys = grown(this.#keys, new Uint8Array(this.#capacity * POLICY_KEY_BYTES));
    this.#actions = grown(this.#actions, new Uint8Array(this.#capacity * 2));
    this.#ruleIds = grown(this.#ruleIds, new Uint32Array(this.#capacity * 2));
  }
}

function grown<T extends Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>(from: T, to: T): T {
  to.set(from);
  return to;
}
