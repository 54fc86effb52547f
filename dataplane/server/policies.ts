/** RPCs about policy. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DataplaneExt,
  ListPolicyEntriesResponseSchema,
} from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { PatchPoliciesRequest } from "../../shared/gen/novanet/ext/v1/policies_pb.ts";
import type {
  DataplaneControl,
  DeletePolicyRequest,
  UpsertPolicyRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { rawUnary, type ServiceImpl } from "../../shared/rpc/server.ts";
import { checkAction, policyEntryAt, policyKeyWords } from "../policy/policy_entry.ts";
import type { PolicyCounts, PolicyStore } from "../reconcile/policy_store.ts";
import type { Dataplane } from "./dataplane.ts";
import { patchPolicies } from "./patch_policies.ts";
import { PolicySync } from "./sync_policies.ts";

const log = getLogger("dataplane/policy");

/** UpsertPolicy, DeletePolicy and SyncPolicies. */
export function policyHandlers(
  { policies, rules }: Dataplane,
): ServiceImpl<typeof DataplaneControl> {
  const sync = new PolicySync(policies, rules);
  return {
    async upsertPolicy(request: UpsertPolicyRequest) {
      checkAction(request.action, request.isolation);
      const words = policyKeyWords(request);
      const { action, ruleId, rule } = request;
      if (rule !== "") rules.set(ruleId, rule);
      await policies.upsert(words, { action, ruleId });
      return {};
    },
    async deletePolicy(request: DeletePolicyRequest) {
      await policies.remove(policyKeyWords(request));
      return {};
    },
    syncPolicies: rawUnary((request) => logged("synced", policies, () => sync.sync(request))),
  };
}

/** Runs a change of the set, and says what it did. */
async function logged<T extends PolicyCounts>(
  what: string,
  policies: PolicyStore,
  change: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  const counts = await change();
  const ms = Math.round(performance.now() - start);
  const { added, removed, updated } = counts;
  const changed = added + removed + updated > 0;
  const { table: { size: entries }, cidrs: { size: cidrs } } = policies;
  log[changed ? "info" : "debug"](`policies ${what}`, {
    added,
    removed,
    updated,
    entries,
    cidrs,
    ms,
  });
  return counts;
}

/** ListPolicyEntries and PatchPolicies. */
export function policyExtHandlers(
  { policies, rules }: Dataplane,
): ServiceImpl<typeof DataplaneExt> {
  return {
    patchPolicies: (request: PatchPoliciesRequest) =>
      logged("patched", policies, () => patchPolicies(policies, rules, request)),
    listPolicyEntries(): MessageInitShape<typeof ListPolicyEntriesResponseSchema> {
      const { table, cidrs, version } = policies;
      return {
        policies: Array.from(table.slots(), (slot) => policyEntryAt(table, slot)),
        cidrIdentities: Array.from(
          cidrs,
          ([cidrIp, prefixLen, identityId]) => ({ cidrIp, prefixLen, identityId }),
        ),
        ruleNames: Object.fromEntries(rules.all),
        version,
      };
    },
  };
}
