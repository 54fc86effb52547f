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

/** Ranges to identities. Immutable once it is built. */
export class CidrSet {
  /** Identity by address, one map for each prefix length. */
  readonly #byLength: readonly Map<number, number>[];
  readonly size: number;

  /** @param ranges Checked ones, each at most once. */
  constructor(ranges: Iterable<readonly [address: number, prefixLen: number, identity: number]>) {
    const byLength = Array.from({ length: ADDRESS_BITS + 1 }, () => new Map<number, number>());
    for (const [address, prefixLen, identity] of ranges) {
      byLength[prefixLen]?.set(address, identity);
    }
    this.#byLength = byLength;
    this.size = byLength.reduce((sum, map) => sum + map.size, 0);
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
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function parseCidrs(cidrs: readonly CidrIdentity[]): CidrSet {
  const seen = new Map<string, number>();
  for (const [index, { cidrIp, prefixLen, identityId }] of cidrs.entries()) {
    const at = `cidr_identities[${index}].`;
    if (prefixLen > ADDRESS_BITS) {
      throw invalidArgument(`${at}prefix_len`, prefixLen, `must be at most ${ADDRESS_BITS}`);
    }
    if (network(cidrIp, prefixLen) !== cidrIp) {
      throw invalidArgument(
        `${at}cidr_ip`,
        cidrIp,
        `has bits beyond the prefix_len of ${prefixLen}`,
      );
    }
    if (identityId < LEAST_CIDR_IDENTITY) {
      throw invalidArgument(
        `${at}identity_id`,
        identityId,
        `must be at least ${LEAST_CIDR_IDENTITY}`,
      );
    }
    const key = `${cidrIp}/${prefixLen}`;
    if ((seen.get(key) ?? identityId) !== identityId) {
      throw invalidArgument(
        `${at}identity_id`,
        identityId,
        "differs from an earlier one of this CIDR",
      );
    }
    seen.set(key, identityId);
  }
  return new CidrSet(
    cidrs.map(({ cidrIp, prefixLen, identityId }) => [cidrIp, prefixLen, identityId] as const),
  );
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

/** The leading `prefixLen` bits of an address. */
export function network(address: number, prefixLen: number): number {
  return prefixLen === 0 ? 0 : (address & (~0 << (ADDRESS_BITS - prefixLen))) >>> 0;
}
