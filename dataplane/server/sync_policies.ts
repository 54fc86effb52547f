/** SyncPolicies: whole sets, of which mostly little is new. */

import { fromBinary } from "@bufbuild/protobuf";
import {
  type SyncPoliciesRequest,
  SyncPoliciesRequestSchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { RawRequest } from "../../shared/rpc/server.ts";
import type { RuleNames } from "../flows/names.ts";
import { parseCidrs } from "../policy/cidr_set.ts";
import { differingFields, readEntries, sameRequest } from "../policy/entry_reader.ts";
import { parseEntries } from "../policy/parse_entries.ts";
import { PolicyTable } from "../policy/policy_table.ts";
import {
  emptyPatch,
  NO_CHANGE,
  type PolicyCounts,
  type PolicyPatch,
  type PolicySet,
  type PolicyStore,
} from "../reconcile/policy_store.ts";

/** A request above this is not kept for comparison: some 170,000 entries, more than a set may hold. */
const MOST_KEPT_BYTES = 4 << 20;
/** Bytes of an entry, about: for the first size of a table. */
const ENTRY_BYTES = 24;

/** A request that said what is in force, and each entry once. */
interface Kept {
  readonly bytes: Uint8Array;
  /** Of the store, when it took force. */
  readonly version: bigint;
}

interface ParsedSet extends PolicySet {
  readonly names: ReadonlyMap<number, string>;
  /** Whether each entry stands in the request once. */
  readonly distinct: boolean;
}

/**
 * Puts whole sets in force. The last request is kept: while nothing else changes the set, of the next one only
 * the bytes that differ are decoded and checked, so that a set of which nothing is new costs a comparison.
 */
export class PolicySync {
  readonly #policies: PolicyStore;
  readonly #rules: RuleNames;
  #kept: Kept | undefined;

  constructor(policies: PolicyStore, rules: RuleNames) {
    this.#policies = policies;
    this.#rules = rules;
  }

  /** Makes the set equal to the request's. @throws RpcError INVALID_ARGUMENT; what PolicyStore throws */
  async sync(request: RawRequest<SyncPoliciesRequest>): Promise<PolicyCounts> {
    // Without waiting for the cleaning up behind the last change, which changes nothing of the set.
    if (this.#policies.quiet && this.#isInForce(request.bytes)) return NO_CHANGE;
    let after = () => {};
    const counts = await this.#policies.change(() => {
      if (this.#isInForce(request.bytes)) return undefined;
      const patch = this.#patchTo(request.bytes);
      if (patch !== undefined) {
        after = () => this.#keep(request.bytes);
        return patch;
      }
      const set = parseSet(request);
      // The first event of a new rule may come before the set has switched as seen from here.
      for (const [id, name] of set.names) this.#rules.set(id, name);
      after = () => {
        this.#rules.replace(set.names);
        if (set.distinct) this.#keep(request.bytes);
        else this.#kept = undefined;
      };
      return set;
    }, () => after());
    return counts;
  }

  #keep(bytes: Uint8Array): void {
    const small = bytes.length <= MOST_KEPT_BYTES;
    this.#kept = small ? { bytes, version: this.#policies.version } : undefined;
  }

  #isInForce(bytes: Uint8Array): boolean {
    return this.#kept?.version === this.#policies.version && sameRequest(this.#kept.bytes, bytes);
  }

  /** What leads from the set in force to a request's; undefined when all of it has to be looked at. */
  #patchTo(bytes: Uint8Array): PolicyPatch | undefined {
    if (this.#kept?.version !== this.#policies.version) {
      this.#kept = undefined;
      return undefined;
    }
    const differing = differingFields(this.#kept.bytes, bytes);
    return differing && this.#patchOf(differing.before, differing.after);
  }

  #patchOf(before: Uint8Array, after: Uint8Array): PolicyPatch | undefined {
    const gone = new PolicyTable(before.length / ENTRY_BYTES);
    const patch = { ...emptyPatch(), upserts: new PolicyTable(after.length / ENTRY_BYTES) };
    for (const [bytes, table] of [[before, gone], [after, patch.upserts]] as const) {
      const read = readEntries(bytes, table);
      if (read === undefined || read.rest.length > 0) return undefined;
    }
    const inForce = this.#policies.table;
    for (const slot of patch.upserts.slots()) {
      const isTwice = inForce.findIn(patch.upserts, slot) >= 0 &&
        gone.findIn(patch.upserts, slot) < 0;
      if (isTwice) return undefined;
    }
    for (const slot of gone.slots()) {
      if (patch.upserts.findIn(gone, slot) < 0) patch.deletes.setFrom(gone, slot);
    }
    return patch;
  }
}

function parseSet(request: RawRequest<SyncPoliciesRequest>): ParsedSet {
  const table = new PolicyTable(request.bytes.length / ENTRY_BYTES);
  const read = readEntries(request.bytes, table);
  const rest = read && restOf(read.rest);
  const distinct = rest !== undefined && rest.policies.length === 0;
  const decoded = distinct ? rest : request.decode();
  return {
    table: distinct ? table : parseEntries(decoded.policies, "policies"),
    cidrs: parseCidrs(decoded.cidrIdentities),
    names: new Map(Object.entries(decoded.ruleNames).map(([id, name]) => [Number(id), name])),
    distinct,
  };
}

/** The fields that are no entries; undefined when the request is none. */
function restOf(bytes: Uint8Array): SyncPoliciesRequest | undefined {
  try {
    return fromBinary(SyncPoliciesRequestSchema, bytes);
  } catch {
    return undefined;
  }
}
