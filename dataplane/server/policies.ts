/** RPCs about policy. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DataplaneExt,
  ListPolicyEntriesResponseSchema,
} from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type {
  DataplaneControl,
  DeletePolicyRequest,
  PolicyEntry,
  SyncPoliciesRequest,
  UpsertPolicyRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { parseCidrs } from "../policy/cidr_set.ts";
import { checkAction, policyEntryAt, policyKeyWords } from "../policy/policy_entry.ts";
import { PolicyTable } from "../policy/policy_table.ts";
import type { Dataplane } from "./dataplane.ts";

const log = getLogger("dataplane/policy");

/** UpsertPolicy, DeletePolicy and SyncPolicies. */
export function policyHandlers(
  { policies, rules }: Dataplane,
): ServiceImpl<typeof DataplaneControl> {
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
    async syncPolicies({ policies: entries, cidrIdentities, ruleNames }: SyncPoliciesRequest) {
      const desired = parseEntries(entries);
      const cidrs = parseCidrs(cidrIdentities);
      const names = new Map(Object.entries(ruleNames).map(([id, name]) => [Number(id), name]));
      // The first event of a new rule may come before the set has switched as seen from here.
      for (const [id, name] of names) rules.set(id, name);
      const start = performance.now();
      const counts = await policies.sync(desired, cidrs);
      rules.replace(names);
      const ms = Math.round(performance.now() - start);
      const { size } = policies.table;
      const changed = counts.added + counts.removed + counts.updated > 0;
      const fields = { ...counts, entries: size, cidrs: policies.cidrs.size, ms };
      log[changed ? "info" : "debug"]("policies synced", fields);
      return counts;
    },
  };
}

/** ListPolicyEntries. */
export function listPolicyEntries(
  { policies, rules }: Dataplane,
): ServiceImpl<typeof DataplaneExt> {
  return {
    listPolicyEntries(): MessageInitShape<typeof ListPolicyEntriesResponseSchema> {
      const { table, cidrs } = policies;
      return {
        policies: Array.from(table.slots(), (slot) => policyEntryAt(table, slot)),
        cidrIdentities: Array.from(
          cidrs,
          ([cidrIp, prefixLen, identityId]) => ({ cidrIp, prefixLen, identityId }),
        ),
        ruleNames: Object.fromEntries(rules.all),
      };
    },
  };
}

/** Two entries with one key are one when they say the same. */
function parseEntries(entries: readonly PolicyEntry[]): PolicyTable {
  const table = new PolicyTable(entries.length);
  for (const [index, entry] of entries.entries()) {
    const at = `policies[${index}].`;
    checkAction(entry.action, entry.isolation, at);
    const words = policyKeyWords(entry, at);
    const before = table.find(...words);
    if (before >= 0 && table.action(before) !== entry.action) {
      throw invalidArgument(
        `${at}action`,
        entry.action,
        "differs from an earlier entry of this key",
      );
    }
    if (before >= 0 && table.ruleId(before) !== entry.ruleId) {
      throw invalidArgument(
        `${at}rule_id`,
        entry.ruleId,
        "differs from an earlier entry of this key",
      );
    }
    table.set(...words, entry.action, entry.ruleId);
  }
  return table;
}
