import { type DesiredPolicy, FIRST_CIDR_IDENTITY, RULE_ID } from "./entries.ts";
import type { PolicyEndpoint } from "./identity_group.ts";
import { type PolicyIds, PolicyIndex } from "./policy_index.ts";
import type { PolicyObjects } from "./snapshot.ts";
import { StableIds } from "./stable_ids.ts";

/** @returns allocators that live in memory only. */
export function memoryIds(): { rules: StableIds; cidrs: StableIds } {
  return {
    rules: new StableIds({ first: RULE_ID.first }),
    cidrs: new StableIds({ first: FIRST_CIDR_IDENTITY }),
  };
}

/**
 * Compiles objects and endpoints from nothing to the complete desired set. An agent keeps a
 * `PolicyIndex` instead, which costs only what changes.
 * @throws {IdentityConflictError} when endpoints of one identity have different labels.
 */
export function compile(
  objects: PolicyObjects,
  endpoints: Iterable<PolicyEndpoint>,
  { ids = memoryIds(), defaultDeny = false }: { ids?: PolicyIds; defaultDeny?: boolean } = {},
): DesiredPolicy {
  const index = new PolicyIndex(ids, { defaultDeny });
  for (const endpoint of endpoints) index.upsertEndpoint(endpoint);
  index.applySnapshot(objects);
  return index.desired();
}
