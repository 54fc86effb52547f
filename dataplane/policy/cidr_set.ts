/** The address ranges that policy names, and what turns one set of them into another. Pure. */

import type { CidrIdentity } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";

/** The least identity of an address range; below are pods and reserved ones. */
export const LEAST_CIDR_IDENTITY = 2 ** 24;

const ADDRESS_BITS = 32;

/** One changed range: the identity that its addresses resolve to by it, before and after. */
export interface CidrChange {
  readonly address: number;
  readonly prefixLen: number;
  readonly oldIdentity: number;
  readonly newIdentity: number;
  /** False: the new set has no such range, its node goes away once nobody reads the old set. */
  readonly present: boolean;
}

/** Ranges to add or give another identity, and ranges to take away; no range is in both. */
export interface CidrPatch {
  readonly upserts: CidrSet;
  /** Their identities do not count; those that are not there are passed over. */
  readonly deletes: CidrSet;
}

/** Ranges to identities. */
export class CidrSet {
  /** Identity by address, one map for each prefix length. */
  readonly #byLength: readonly Map<number, number>[];

  /** @param ranges Checked ones, each at most once. */
  constructor(ranges: Iterable<readonly [address: number, prefixLen: number, identity: number]>) {
    const byLength = Array.from({ length: ADDRESS_BITS + 1 }, () => new Map<number, number>());
    for (const [address, prefixLen, identity] of ranges) {
      byLength[prefixLen]?.set(address, identity);
    }
    this.#byLength = byLength;
  }

  /** How many ranges there are. */
  get size(): number {
    return this.#byLength.reduce((sum, map) => sum + map.size, 0);
  }

  /** Adds a checked range, or gives it another identity. */
  set(address: number, prefixLen: number, identity: number): void {
    this.#byLength[prefixLen]?.set(address, identity);
  }

  /** Removes a range, if it is there. */
  delete(address: number, prefixLen: number): void {
    this.#byLength[prefixLen]?.delete(address);
  }

  /** The identity of exactly this range. */
  get(address: number, prefixLen: number): number | undefined {
    return this.#byLength[prefixLen]?.get(address);
  }

  /** The identity of the longest range that holds `address` and is at most `longest` bits; 0: none. */
  resolve(address: number, longest = ADDRESS_BITS): number {
    for (let length = longest; length >= 0; length--) {
      const identity = this.#byLength[length]?.get(network(address, length));
      if (identity !== undefined) return identity;
    }
    return 0;
  }

  /** All ranges. */
  *[Symbol.iterator](): Generator<readonly [address: number, prefixLen: number, identity: number]> {
    for (const [prefixLen, map] of this.#byLength.entries()) {
      for (const [address, identity] of map) yield [address, prefixLen, identity];
    }
  }
}

/**
 * Checks the ranges of a request.
 *
 * @param field The list's name in it, for errors.
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function parseCidrs(
  cidrs: readonly CidrIdentity[],
  field = "cidr_identities",
): CidrSet {
  const set = new CidrSet([]);
  for (const [index, cidr] of cidrs.entries()) {
    const at = `${field}[${index}].`;
    checkRange(cidr, at);
    const { cidrIp, prefixLen, identityId } = cidr;
    if (identityId < LEAST_CIDR_IDENTITY) {
      throw invalidArgument(
        `${at}identity_id`,
        identityId,
        `must be at least ${LEAST_CIDR_IDENTITY}`,
      );
    }
    if ((set.get(cidrIp, prefixLen) ?? identityId) !== identityId) {
      throw invalidArgument(
        `${at}identity_id`,
        identityId,
        "differs from an earlier one of this CIDR",
      );
    }
    set.set(cidrIp, prefixLen, identityId);
  }
  return set;
}

/**
 * Checks ranges that are to go; their identities do not count.
 *
 * @param upserts Ranges that are to come: none may be the same.
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function parseRanges(
  cidrs: readonly CidrIdentity[],
  field: string,
  upserts: CidrSet,
): CidrSet {
  const set = new CidrSet([]);
  for (const [index, cidr] of cidrs.entries()) {
    checkRange(cidr, `${field}[${index}].`);
    const { cidrIp, prefixLen, identityId } = cidr;
    if (upserts.get(cidrIp, prefixLen) !== undefined) {
      throw invalidArgument(`${field}[${index}].cidr_ip`, cidrIp, "is one of the upserts too");
    }
    set.set(cidrIp, prefixLen, identityId);
  }
  return set;
}

function checkRange({ cidrIp, prefixLen }: CidrIdentity, at: string): void {
  if (prefixLen > ADDRESS_BITS) {
    throw invalidArgument(`${at}prefix_len`, prefixLen, `must be at most ${ADDRESS_BITS}`);
  }
  if (network(cidrIp, prefixLen) !== cidrIp) {
    throw invalidArgument(`${at}cidr_ip`, cidrIp, `has bits beyond the prefix_len of ${prefixLen}`);
  }
}

/** The changes that lead from `current` to `desired`; ranges whose own identity stays are not in it. */
export function diffCidrs(current: CidrSet, desired: CidrSet): CidrChange[] {
  const changes: CidrChange[] = [];
  for (const [address, prefixLen, newIdentity] of desired) {
    const before = current.get(address, prefixLen);
    if (before === newIdentity) continue;
    const oldIdentity = before ?? current.resolve(address, prefixLen);
    changes.push({ address, prefixLen, oldIdentity, newIdentity, present: true });
  }
  for (const [address, prefixLen, oldIdentity] of current) {
    if (desired.get(address, prefixLen) !== undefined) continue;
    const newIdentity = desired.resolve(address, prefixLen);
    changes.push({ address, prefixLen, oldIdentity, newIdentity, present: false });
  }
  return changes;
}

/**
 * Puts a patch in force.
 *
 * @param ranges The set in force; it is changed.
 * @returns the changes that it makes; they cost what the patch has, not what the set has.
 */
export function patchCidrs(ranges: CidrSet, { upserts, deletes }: CidrPatch): CidrChange[] {
  const changed: Omit<CidrChange, "newIdentity">[] = [];
  for (const [address, prefixLen, identity] of upserts) {
    const before = ranges.get(address, prefixLen);
    if (before === identity) continue;
    const oldIdentity = before ?? ranges.resolve(address, prefixLen);
    changed.push({ address, prefixLen, oldIdentity, present: true });
  }
  for (const [address, prefixLen] of deletes) {
    const oldIdentity = ranges.get(address, prefixLen);
    if (oldIdentity !== undefined) {
      changed.push({ address, prefixLen, oldIdentity, present: false });
    }
  }
  for (const [address, prefixLen, identity] of upserts) ranges.set(address, prefixLen, identity);
  for (const [address, prefixLen] of deletes) ranges.delete(address, prefixLen);
  return changed.map((change) => ({
    ...change,
    newIdentity: ranges.resolve(change.address, change.prefixLen),
  }));
}

/** The leading `prefixLen` bits of an address. */
export function network(address: number, prefixLen: number): number {
  return prefixLen === 0 ? 0 : (address & (~0 << (ADDRESS_BITS - prefixLen))) >>> 0;
}
