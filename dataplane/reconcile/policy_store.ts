/**
 * The policy in the kernel: sets that take force at once, whatever dies in between.
 *
 * A change goes through four steps. Stage: every changed key gets its old and its new version, the new
 * one to hold from the next generation on. Flip: one store makes that generation the active one. Settle,
 * when no packet can look at the old set any more: absent keys are deleted. Wait once more, because the
 * next insert may be given the memory of a deleted key that a packet still holds.
 *
 * @module
 */

import type { PolicyShape } from "../../shared/gen/abi.ts";
import { getLogger } from "../../shared/log.ts";
import type { CidrIdentitiesMap } from "../maps/cidr_identities.ts";
import type { DatapathStateMap } from "../maps/datapath_state.ts";
import type { PoliciesMap, StoredPolicy } from "../maps/policies.ts";
import type { PolicyShapesMap } from "../maps/policy_shapes.ts";
import { namingFullTable, TableFullError } from "../maps/table_full_error.ts";
import { type CidrChange, CidrSet, diffCidrs } from "../policy/cidr_set.ts";
import { diffPolicies, POLICY_ABSENT, type PolicyChanges } from "../policy/policy_diff.ts";
import type { PolicyKeyWords } from "../policy/policy_entry.ts";
import {
  mergeShapes,
  NO_SHAPE,
  type PolicyShapes,
  sameShape,
  shapesOf,
} from "../policy/policy_shapes.ts";
import { POLICY_KEY_BYTES, type PolicyDecision, PolicyTable } from "../policy/policy_table.ts";
import { gracePeriod } from "../maps/grace_period.ts";
import { SerialQueue } from "../queue/serial_queue.ts";

/** The kernel objects that hold policy. */
export interface PolicyMaps {
  readonly policies: PoliciesMap;
  readonly shapes: PolicyShapesMap;
  readonly cidrs: CidrIdentitiesMap;
  readonly state: DatapathStateMap;
}

/** How many entries a change added, removed and updated. */
export interface PolicyCounts {
  readonly added: number;
  readonly removed: number;
  readonly updated: number;
}

/** A change that took force. */
interface Flipped {
  readonly changes: PolicyChanges;
  readonly cidrChanges: readonly CidrChange[];
}

const MOST_QUEUED = 1024;
const log = getLogger("dataplane/policy");

/** Owns the policy maps' contents. All changes go through one queue. */
export class PolicyStore {
  readonly #maps: PolicyMaps;
  readonly #queue = new SerialQueue(MOST_QUEUED);
  #table = new PolicyTable();
  #cidrs = new CidrSet([]);
  /** The masks in POLICY_SHAPES: never less than the entries need. */
  #shapes = new Map<number, PolicyShape>();
  /** What took force and is not settled. */
  #unsettled: Flipped | undefined;
  /** Elements were freed that a packet may still hold. */
  #freed = false;
  /** Whether the maps hold what this object believes, and nothing that was staged in vain. */
  #consistent = false;

  private constructor(maps: PolicyMaps) {
    this.#maps = maps;
  }

  /**
   * Reads what the maps hold. What a dataplane before this one staged and never put in force is undone,
   * what it put in force is settled.
   *
   * @throws SysError
   */
  static async open(maps: PolicyMaps): Promise<PolicyStore> {
    const store = new PolicyStore(maps);
    await store.#queue.run(() => store.#recover());
    return store;
  }

  /** The set in force. Not to be changed. */
  get table(): PolicyTable {
    return this.#table;
  }

  /** The address ranges in force. */
  get cidrs(): CidrSet {
    return this.#cidrs;
  }

  /** Counts up with every change. */
  get generation(): number {
    return this.#maps.state.value.policyGeneration;
  }

  /** Entries that one set may hold: half of the map, since old and new stand in it together. */
  get capacity(): number {
    return Math.floor(this.#maps.policies.map.info().maxEntries / 2);
  }

  /** Address ranges that one set may hold. */
  get cidrCapacity(): number {
    return Math.floor(this.#maps.cidrs.map.info().maxEntries / 2);
  }

  /**
   * Makes the set equal to `desired`. No packet sees part of it.
   *
   * @param desired Given away.
   * @throws TableFullError when it does not fit; the set in force then stays. QueueFullError.
   */
  async sync(desired: PolicyTable, cidrs: CidrSet): Promise<PolicyCounts> {
    return await this.#change(() => ({ desired, cidrs }));
  }

  /** Adds or replaces one entry. @throws TableFullError, QueueFullError */
  async upsert(words: PolicyKeyWords, { action, ruleId }: PolicyDecision): Promise<PolicyCounts> {
    return await this.#change(() => {
      const desired = this.#table.clone();
      desired.set(...words, action, ruleId);
      return { desired, cidrs: this.#cidrs };
    });
  }

  /** Removes one entry, if it is there. @throws QueueFullError */
  async remove(words: PolicyKeyWords): Promise<PolicyCounts> {
    return await this.#change(() => {
      const desired = this.#table.clone();
      desired.delete(...words);
      return { desired, cidrs: this.#cidrs };
    });
  }

  /** Waits until nothing is left to be settled. */
  async idle(): Promise<void> {
    await this.#queue.idle();
  }

  async #change(
    plan: () => { desired: PolicyTable; cidrs: CidrSet },
  ): Promise<PolicyCounts> {
    const counts = await this.#queue.run(async () => {
      if (!this.#consistent) await this.#recover();
      await this.#settle();
      const { desired, cidrs } = plan();
      return await this.#apply(desired, cidrs);
    });
    // Not waited for: the next change does, if it comes before that is done.
    this.#queue.run(() => this.#settle()).catch((error) => {
      log.error("cannot settle a policy change; the next one tries again", { error });
    });
    return counts;
  }

  async #apply(desired: PolicyTable, cidrs: CidrSet): Promise<PolicyCounts> {
    this.#checkRoom(desired, cidrs);
    const changes = diffPolicies(this.#table, desired);
    const cidrChanges = diffCidrs(this.#cidrs, cidrs);
    if (changes.count > 0 || cidrChanges.length > 0) {
      try {
        this.#stage(changes, cidrChanges, desired, cidrs);
      } catch (error) {
        await this.#recover();
        throw error;
      }
      this.#maps.state.flip();
      this.#consistent = true;
      this.#table = desired;
      this.#cidrs = cidrs;
      this.#unsettled = { changes, cidrChanges };
    }
    const { added, removed, updated } = changes;
    return { added, removed, updated };
  }

  #stage(
    changes: PolicyChanges,
    cidrChanges: readonly CidrChange[],
    desired: PolicyTable,
    cidrs: CidrSet,
  ): void {
    const { policies, cidrs: cidrMap, state } = this.#maps;
    const next = state.nextPolicyGeneration;
    this.#consistent = false;
    this.#widen(shapesOf(desired), cidrs.size);
    namingFullTable("POLICIES", this.capacity, () => policies.write(changes, next));
    namingFullTable("CIDR_IDENTITIES", this.cidrCapacity, () => {
      for (const change of cidrChanges) {
        const { address, prefixLen, oldIdentity, newIdentity } = change;
        cidrMap.set({
          address,
          prefixLen,
          generation: next,
          identities: [oldIdentity, newIdentity],
        });
      }
    });
  }

  #checkRoom(desired: PolicyTable, cidrs: CidrSet): void {
    if (desired.size > this.capacity) throw new TableFullError("POLICIES", this.capacity);
    if (cidrs.size > this.cidrCapacity) {
      throw new TableFullError("CIDR_IDENTITIES", this.cidrCapacity);
    }
  }

  /** Readers of the new set must find its key shapes from the flip on; those of the old set, until then. */
  #widen(shapes: PolicyShapes, cidrCount: number): void {
    const capacity = this.#maps.shapes.map.info().maxEntries;
    for (const [key, shape] of shapes.selected) {
      const before = this.#shapes.get(key) ?? NO_SHAPE;
      const merged = mergeShapes(before, shape);
      if (sameShape(before, merged)) continue;
      namingFullTable("POLICY_SHAPES", capacity, () => this.#maps.shapes.set(key, merged));
      this.#shapes.set(key, merged);
    }
    const { state } = this.#maps;
    const { wildcardShapes } = state.value;
    state.write({
      wildcardShapes: shapes.wildcard.map((shape, i) =>
        mergeShapes(wildcardShapes[i] ?? NO_SHAPE, shape)
      ),
      cidrCount: Math.max(cidrCount, this.#cidrs.size),
    });
  }

  /** Cleans up behind the last change, so that the next one may be staged. */
  async #settle(): Promise<void> {
    if (this.#unsettled !== undefined) {
      // Packets that began before the flip read the old versions, which staging would overwrite.
      await gracePeriod();
      const { changes, cidrChanges } = this.#unsettled;
      this.#deleteAbsent(changes, cidrChanges);
      this.#shrink();
      this.#unsettled = undefined;
    }
    if (this.#freed) {
      await gracePeriod();
      this.#freed = false;
    }
  }

  #deleteAbsent(changes: PolicyChanges, cidrChanges: readonly CidrChange[]): void {
    const keys = keysWhere(changes, (_, newAction) => newAction === POLICY_ABSENT);
    const gone = cidrChanges.filter(({ present }) => !present);
    this.#freed ||= keys.length > 0 || gone.length > 0;
    this.#maps.policies.delete(keys);
    for (const { address, prefixLen } of gone) this.#maps.cidrs.delete(address, prefixLen);
  }

  #shrink(): void {
    const { selected, wildcard } = shapesOf(this.#table);
    for (const [key, shape] of this.#shapes) {
      const exact = selected.get(key);
      if (exact === undefined) {
        this.#maps.shapes.delete(key);
        this.#shapes.delete(key);
        this.#freed = true;
      } else if (!sameShape(shape, exact)) {
        this.#maps.shapes.set(key, exact);
        this.#shapes.set(key, exact);
      }
    }
    this.#maps.state.write({ wildcardShapes: wildcard, cidrCount: this.#cidrs.size });
  }

  /** Makes maps and memory agree on the set in force. */
  async #recover(): Promise<void> {
    this.#consistent = false;
    this.#unsettled = undefined;
    await gracePeriod();
    this.#shapes = this.#maps.shapes.read();
    const repaired = this.#recoverPolicies() + this.#recoverCidrs();
    if (repaired > 0) {
      log.info("cleaned up behind an interrupted policy change", { keys: repaired });
    }
    this.#widen(shapesOf(this.#table), this.#cidrs.size);
    this.#shrink();
    await gracePeriod();
    this.#freed = false;
    this.#consistent = true;
  }

  #recoverPolicies(): number {
    const { policies, state } = this.#maps;
    const stored = [...policies.entries()];
    const table = new PolicyTable(stored.length);
    const absent: PolicyKeyWords[] = [];
    const staged: StoredPolicy[] = [];
    for (const entry of stored) {
      const at = this.#inForce(entry.generation);
      if (entry.actions[at] === POLICY_ABSENT) absent.push(entry.words);
      else {
        table.set(...entry.words, entry.actions[at], entry.ruleIds[at]);
        if (at === 0) staged.push(entry);
      }
    }
    policies.write({
      count: staged.length,
      keys: keysOf(staged.map(({ words }) => words)),
      actions: staged.flatMap(({ actions: [old] }) => [old, old]),
      ruleIds: staged.flatMap(({ ruleIds: [old] }) => [old, old]),
    }, state.value.policyGeneration);
    policies.delete(keysOf(absent));
    this.#table = table;
    return staged.length + absent.length;
  }

  /**
   * A range that was being added or removed may stay with the identity of the range around it: that
   * resolves to the same, and the next complete set takes it away.
   */
  #recoverCidrs(): number {
    const { cidrs, state } = this.#maps;
    const ranges: [address: number, prefixLen: number, identity: number][] = [];
    let repaired = 0;
    for (const { address, prefixLen, generation, identities } of [...cidrs.entries()]) {
      const at = this.#inForce(generation);
      const identity = identities[at];
      if (identity === 0) cidrs.delete(address, prefixLen);
      else ranges.push([address, prefixLen, identity]);
      if (identity !== 0 && at === 0) {
        const both = [identity, identity] as const;
        cidrs.set({
          address,
          prefixLen,
          generation: state.value.policyGeneration,
          identities: both,
        });
      }
      if (identity === 0 || at === 0) repaired++;
    }
    this.#cidrs = new CidrSet(ranges);
    return repaired;
  }

  /** The index of an element's version that is in force. */
  #inForce(generation: number): 0 | 1 {
    return (this.#maps.state.value.policyGeneration - generation | 0) >= 0 ? 1 : 0;
  }
}

function keysOf(words: readonly PolicyKeyWords[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array(words.flat()).buffer);
}

function keysWhere(
  { count, keys, actions }: PolicyChanges,
  wanted: (oldAction: number, newAction: number) => boolean,
): Uint8Array<ArrayBuffer> {
  const chosen = new Uint8Array(keys.length);
  let length = 0;
  for (let i = 0; i < count; i++) {
    if (!wanted(actions[i * 2] as number, actions[i * 2 + 1] as number)) continue;
    const key = keys.subarray(i * POLICY_KEY_BYTES, (i + 1) * POLICY_KEY_BYTES);
    chosen.set(key, length);
    length += POLICY_KEY_BYTES;
  }
  return chosen.slice(0, length);
}
