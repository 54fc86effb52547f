/** PatchPolicies: the part of the set that changes. */

import type {
  PatchPoliciesRequest,
  PatchPoliciesResponse,
} from "../../shared/gen/novanet/ext/v1/policies_pb.ts";
import { failedPrecondition, invalidArgument } from "../../shared/rpc/errors.ts";
import type { RuleNames } from "../flows/names.ts";
import { parseCidrs, parseRanges } from "../policy/cidr_set.ts";
import { parseDeletes, parseEntries } from "../policy/parse_entries.ts";
import type { PolicyPatch, PolicyStore } from "../reconcile/policy_store.ts";

/** The answer to a patch. */
export type PatchAnswer = Omit<PatchPoliciesResponse, "$typeName" | "$unknown">;

/**
 * Puts a patch in force.
 *
 * @throws RpcError FAILED_PRECONDITION when another set is in force than the patch is for;
 *   INVALID_ARGUMENT; what PolicyStore throws
 */
export async function patchPolicies(
  policies: PolicyStore,
  rules: RuleNames,
  request: PatchPoliciesRequest,
): Promise<PatchAnswer> {
  const patch = parsePatch(request);
  const { baseVersion, ruleNameUpserts, ruleNameDeletes } = request;
  const names = Object.entries(ruleNameUpserts);
  const isEmpty = isEmptyPatch(patch) && names.length === 0 && ruleNameDeletes.length === 0;
  let version = 0n;
  const counts = await policies.change(() => {
    version = policies.version;
    if (baseVersion !== 0n && baseVersion !== version) {
      throw failedPrecondition(
        `base_version ${baseVersion}: the policy set in force has version ${version}`,
      );
    }
    if (isEmpty) return undefined;
    // The first event of a new rule may come before the set has switched as seen from here.
    for (const [id, name] of names) rules.set(Number(id), name);
    return patch;
  }, () => {
    version = policies.version;
    for (const id of ruleNameDeletes) rules.delete(id);
  });
  return { ...counts, version };
}

function parsePatch(request: PatchPoliciesRequest): PolicyPatch {
  const upserts = parseEntries(request.upserts, "upserts");
  for (const [index, id] of request.ruleNameDeletes.entries()) {
    if (request.ruleNameUpserts[id] === undefined) continue;
    throw invalidArgument(`rule_name_deletes[${index}]`, id, "stands in rule_name_upserts too");
  }
  const cidrs = parseCidrs(request.cidrUpserts, "cidr_upserts");
  return {
    upserts,
    deletes: parseDeletes(request.deletes, "deletes", upserts),
    cidrs: { upserts: cidrs, deletes: parseRanges(request.cidrDeletes, "cidr_deletes", cidrs) },
  };
}

function isEmptyPatch({ upserts, deletes, cidrs }: PolicyPatch): boolean {
  return upserts.size + deletes.size + cidrs.upserts.size + cidrs.deletes.size === 0;
}
