/**
 * The policy in the kernel: sets that take force at once, whatever dies in between.
 *
 * A change goes through five steps. Announce: unless only keys are added, packets are told to read values under
 * their locks, and those that began before that are waited for. Stage: every changed key gets its old and its new version, the new
 * one to hold from the next generation on. Flip: one store makes that generation the active one. Settle,
 * when no packet can look at the old set any more: absent keys are deleted. Wait once more, because the
 * next insert may be given the memory of a deleted key that a packet still holds.
 *
 * @module
 */

import { getLogger } from "../../shared/log.ts";
import type { CidrIdentitiesMap } from "../maps/cidr_identities.ts";
import { type DatapathStateMap, versionInForce } from "../maps/datapath_state.ts";
import type { PoliciesMap, StoredPolicy } from "../maps/policies.ts";
import type { PolicyShapesMap } from "../maps/policy_shapes.ts";
import { namingFullTable, TableFullError } from "../maps/table_full_error.ts";
import {
  type CidrChange,
  type CidrPatch,
  CidrSet,
  diffCidrs,
  patchCidrs,
} from "../policy/cidr_set.ts";
import {
  applyChanges,
  diffPatch,
  diffPolicies,
  type EntryPatch,
  POLICY_ABSENT,
  type PolicyChanges,
  wordsAt,
} from "../policy/policy_diff.ts";
import type { PolicyKeyWords } from "../policy/policy_entry.ts";
import { isWildcard, NO_SHAPE, sameShape, ShapeCounts } from "../policy/policy_shapes.ts";
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

/** A complete set. Given away. */
export interface PolicySet {
  readonly table: PolicyTable;
  readonly cidrs: CidrSet;
}

/** What is to change of the set in force. */
export interface PolicyPatch extends EntryPatch {
  readonly cidrs: CidrPatch;
}

/** A change that took force. */
interface Flipped {
  readonly changes: PolicyChanges;
  readonly cidrChanges: readonly CidrChange[];
}

const MOST_QUEUED = 1024;
/** What a change that changes nothing answers. */
export const NO_CHANGE: PolicyCounts = { added: 0, removed: 0, updated: 0 };
const log = getLogger("dataplane/policy");

/** Owns the policy maps' contents. All changes go through one queue. */
export class PolicyStore {
  readonly #maps: PolicyMaps;
  readonly #queue = new SerialQueue(MOST_QUEUED);
  #table = new PolicyTable();
  #cidrs = new CidrSet([]);
  /** What is in POLICY_SHAPES: never less than the entries need. */
  #shapes = new ShapeCounts();
  /** What took force and is not settled. */
  #unsettled: Flipped | undefined;
  /** Elements were freed that a packet may still hold. */
  #freed = false;
  /** Whether the maps hold what this object believes, and nothing that was staged in vain. */
  #consistent = false;
  #version = firstVersion();
  /** Changes that wait or run. */
  #underWay = 0;

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

  /** The set in force. Not to be changed, nor kept: the next change may be made in it. */
  get table(): PolicyTable {
    return this.#table;
  }

  /** The address ranges in force. Not to be changed, nor kept. */
  get cidrs(): CidrSet {
    return this.#cidrs;
  }

  /** Counts up with every change of entries or ranges. */
  get generation(): number {
    return this.#maps.state.value.policyGeneration;
  }

  /** Another one with every call that may have changed something, and in every process. Never 0. */
  get version(): bigint {
    return this.#version;
  }

  /** Whether no change waits or runs: what is in force is what the last one asked for. */
  get quiet(): boolean {
    return this.#underWay === 0 && this.#consistent;
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
   * Makes the set equal to another one. No packet sees part of it.
   *
   * @param table Given away, as is `cidrs`.
   * @throws TableFullError when it does not fit; the set in force then stays. QueueFullError.
   */
  async sync(table: PolicyTable, cidrs: CidrSet): Promise<PolicyCounts> {
    return await this.change(() => ({ table, cidrs }));
  }

  /** Adds or replaces one entry. @throws TableFullError, QueueFullError */
  async upsert(words: PolicyKeyWords, { action, ruleId }: PolicyDecision): Promise<PolicyCounts> {
    const patch = emptyPatch();
    patch.upserts.set(...words, action, ruleId);
    return await this.change(() => patch);
  }

  /** Removes one entry, if it is there. @throws QueueFullError */
  async remove(words: PolicyKeyWords): Promise<PolicyCounts> {
    const patch = emptyPatch();
    patch.deletes.set(...words, POLICY_ABSENT, 0);
    return await this.change(() => patch);
  }

  /** Lets `work` look at the maps, or write them, while nobody changes them and they hold one set only. */
  async whileSettled<T>(
    work: (inForce: { maps: PolicyMaps; table: PolicyTable; cidrs: CidrSet }) => T | Promise<T>,
  ): Promise<T> {
    return await this.#queue.run(async () => {
      if (!this.#consistent) await this.#recover();
      await this.#settle();
      return await work({ maps: this.#maps, table: this.#table, cidrs: this.#cidrs });
    });
  }

  /**
   * Changes the set, as {@linkcode sync} does. A patch costs what it changes, whatever the set holds.
   *
   * @param plan Says what to do when its turn comes: what it finds in force stays so until it is done.
   *   `undefined`: nothing is to be done. When it throws, nothing is.
   * @param done Called when the change is in force, before any other change.
   * @throws TableFullError, QueueFullError, what `plan` throws
   */
  async change(
    plan: () => PolicySet | PolicyPatch | undefined,
    done: () => void = () => {},
  ): Promise<PolicyCounts> {
    this.#underWay++;
    const changed = this.#queue.run(async () => {
      if (!this.#consistent) await this.#recover();
      const planned = plan();
      if (planned === undefined) return NO_CHANGE;
      await this.#settle();
      const counts = await this.#apply(planned);
      this.#version++;
      done();
      return counts;
    });
    try {
      return await changed;
    } finally {
      this.#underWay--;
      // Not waited for: the next change does, if it comes before that is done.
      this.#queue.run(() => this.#settle()).catch((error) => {
        log.error("cannot settle a policy change; the next one tries again", { error });
      });
    }
  }

  /** Waits until nothing is left to be settled. */
  async idle(): Promise<void> {
    await this.#queue.idle();
  }

  async #apply(planned: PolicySet | PolicyPatch): Promise<PolicyCounts> {
    const whole = "table" in planned;
    const changes = whole
      ? diffPolicies(this.#table, planned.table)
      : diffPatch(this.#table, planned);
    const { added, removed, updated } = changes;
    this.#checkRoom(this.#table.size + added - removed, planned.cidrs);
    try {
      const cidrsBefore = this.#cidrs.size;
      const cidrChanges = this.#planCidrs(planned.cidrs);
      if (changes.count === 0 && cidrChanges.length === 0) return NO_CHANGE;
      // A value comes into the map whole; only one that is there already is written in place.
      if (changes.count > added) await this.#announce();
      this.#stage(changes, cidrChanges, Math.max(cidrsBefore, this.#cidrs.size));
      this.#maps.state.flip();
      this.#consistent = true;
      if (whole) this.#table = planned.table;
      else applyChanges(this.#table, changes);
      this.#unsettled = { changes, cidrChanges };
    } catch (error) {
      await this.#recover();
      throw error;
    }
    return { added, removed, updated };
  }

  /** Makes the ranges what they shall be, in memory. */
  #planCidrs(planned: CidrSet | CidrPatch): CidrChange[] {
    if (!(planned instanceof CidrSet)) return patchCidrs(this.#cidrs, planned);
    const changes = diffCidrs(this.#cidrs, planned);
    this.#cidrs = planned;
    return changes;
  }

  #stage(changes: PolicyChanges, cidrChanges: readonly CidrChange[], cidrCount: number): void {
    const { policies, cidrs: cidrMap, state } = this.#maps;
    const next = state.nextPolicyGeneration;
    this.#consistent = false;
    if (changes.added > 0) this.#widen(changes);
    this.#writeCidrCount(cidrCount);
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

  #checkRoom(entries: number, planned: CidrSet | CidrPatch): void {
    if (entries > this.capacity) throw new TableFullError("POLICIES", this.capacity);
    const ranges = planned instanceof CidrSet ? planned.size : sizeAfter(this.#cidrs, planned);
    if (ranges > this.cidrCapacity) throw new TableFullError("CIDR_IDENTITIES", this.cidrCapacity);
  }

  /** Readers of the new set must find its key shapes from the flip on; those of the old set, until then. */
  #widen(changes: PolicyChanges): void {
    const grown = new Set<number>();
    forEachKey(changes, (oldAction, _, words) => {
      if (oldAction === POLICY_ABSENT) grown.add(this.#shapes.add(...words));
    });
    this.#writeShapes(grown);
  }

  /** Packets read values under their locks from here on. */
  async #announce(): Promise<void> {
    const { state } = this.#maps;
    if (state.value.policyStaging !== 0) return;
    state.write({ policyStaging: 1 });
    await gracePeriod();
  }

  /** Cleans up behind the last change, so that the next one may be staged. */
  async #settle(): Promise<void> {
    if (this.#unsettled !== undefined) {
      // Packets that began before the flip read the old versions, which staging would overwrite.
      await gracePeriod();
      const { changes, cidrChanges } = this.#unsettled;
      this.#unsettled = undefined;
      // If this fails half-way, what the maps hold has to be read again.
      this.#consistent = false;
      if (changes.removed > 0) this.#deleteEntries(changes);
      this.#deleteRanges(cidrChanges);
      this.#consistent = true;
    }
    if (this.#freed) {
      await gracePeriod();
      this.#freed = false;
    }
    this.#endAnnouncement();
  }

  /** Takes `#announce` back, unless another change comes at once. */
  #endAnnouncement(): void {
    const { state } = this.#maps;
    if (this.#underWay === 0 && state.value.policyStaging !== 0) state.write({ policyStaging: 0 });
  }

  #deleteEntries(changes: PolicyChanges): void {
    this.#maps.policies.delete(
      keysWhere(changes, (_, newAction) => newAction === POLICY_ABSENT),
    );
    this.#freed = true;
    const shrunk = new Set<number>();
    forEachKey(changes, (_, newAction, words) => {
      if (newAction === POLICY_ABSENT) shrunk.add(this.#shapes.remove(...words));
    });
    this.#writeShapes(shrunk);
  }

  #deleteRanges(changes: readonly CidrChange[]): void {
    const gone = changes.filter(({ present }) => !present);
    for (const { address, prefixLen } of gone) this.#maps.cidrs.delete(address, prefixLen);
    this.#freed ||= gone.length > 0;
    this.#writeCidrCount(this.#cidrs.size);
  }

  /** Brings the shapes of some sides to the kernel. */
  #writeShapes(sides: ReadonlySet<number>): void {
    const { shapes, state } = this.#maps;
    const { maxEntries } = shapes.map.info();
    for (const side of sides) {
      if (side < 0 || isWildcard(side)) continue;
      const shape = this.#shapes.get(side);
      if (sameShape(shape, NO_SHAPE)) {
        shapes.delete(side);
        this.#freed = true;
      } else namingFullTable("POLICY_SHAPES", maxEntries, () => shapes.set(side, shape));
    }
    const wildcard = [...sides].some((side) => side >= 0 && isWildcard(side));
    if (wildcard) state.write({ wildcardShapes: [...this.#shapes.wildcard] });
  }

  #writeCidrCount(cidrCount: number): void {
    const { state } = this.#maps;
    if (cidrCount !== state.value.cidrCount) state.write({ cidrCount });
  }

  /** Makes maps and memory agree on the set in force. */
  async #recover(): Promise<void> {
    this.#consistent = false;
    this.#unsettled = undefined;
    // As announced, and what packets read of the last change that was put in force is not overwritten either.
    this.#maps.state.write({ policyStaging: 1 });
    await gracePeriod();
    const repaired = this.#recoverPolicies() + this.#recoverCidrs();
    if (repaired > 0) {
      log.info("cleaned up behind an interrupted policy change", { keys: repaired });
    }
    this.#shapes = ShapeCounts.of(this.#table);
    const sides = new Set([...this.#maps.shapes.read().keys(), ...this.#shapes.keys()]);
    this.#writeShapes(sides);
    const { wildcard } = this.#shapes;
    this.#maps.state.write({ wildcardShapes: [...wildcard], cidrCount: this.#cidrs.size });
    this.#version++;
    await gracePeriod();
    this.#freed = false;
    this.#consistent = true;
    this.#endAnnouncement();
  }

  #recoverPolicies(): number {
    const { policies, state } = this.#maps;
    const stored = [...policies.entries()];
    const table = new PolicyTable(stored.length);
    const absent: PolicyKeyWords[] = [];
    const staged: StoredPolicy[] = [];
    for (const entry of stored) {
      const at = versionInForce(state.value, entry.generation);
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
      const at = versionInForce(state.value, generation);
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
}

/** A patch that changes nothing. */
export function emptyPatch(): PolicyPatch {
  return {
    upserts: new PolicyTable(),
    deletes: new PolicyTable(),
    cidrs: { upserts: new CidrSet([]), deletes: new CidrSet([]) },
  };
}

/** No two processes begin with the same one, and none comes to where another began. */
function firstVersion(): bigint {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return BigInt(random) << 32n | 1n;
}

/** How many ranges there are after a patch. */
function sizeAfter(ranges: CidrSet, { upserts, deletes }: CidrPatch): number {
  let { size } = ranges;
  for (const [address, length] of upserts) if (ranges.get(address, length) === undefined) size++;
  for (const [address, length] of deletes) if (ranges.get(address, length) !== undefined) size--;
  return size;
}

function keysOf(words: readonly PolicyKeyWords[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array(words.flat()).buffer);
}

function forEachKey(
  { count, keys, actions }: PolicyChanges,
  visit: (oldAction: number, newAction: number, words: PolicyKeyWords) => void,
): void {
  const all = new Uint32Array(keys.buffer, keys.byteOffset, count * POLICY_KEY_BYTES / 4);
  for (let i = 0; i < count; i++) {
    visit(actions[i * 2] as number, actions[i * 2 + 1] as number, wordsAt(all, i));
  }
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
