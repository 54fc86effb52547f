/** Lists of policy entries as RPCs carry them, made into tables. Pure. */

import type { PolicyEntry } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import { checkAction, policyKeyWords } from "./policy_entry.ts";
import { PolicyTable } from "./policy_table.ts";

/**
 * Checks entries. Two with one key are one when they say the same.
 *
 * @param field The list's name in its request, for errors.
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function parseEntries(entries: readonly PolicyEntry[], field: string): PolicyTable {
  const table = new PolicyTable(entries.length);
  for (const [index, entry] of entries.entries()) {
    const at = `${field}[${index}].`;
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

/**
 * Checks the keys of entries that are to go; what else they say does not count.
 *
 * @param upserts Entries that are to come: none may have the same key.
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function parseDeletes(
  entries: readonly PolicyEntry[],
  field: string,
  upserts: PolicyTable,
): PolicyTable {
  const table = new PolicyTable(entries.length);
  for (const [index, entry] of entries.entries()) {
    const words = policyKeyWords(entry, `${field}[${index}].`);
    if (upserts.find(...words) >= 0) {
      throw invalidArgument(
        `${field}[${index}]`,
        "of an upsert's key",
        "cannot come and go at once",
      );
    }
    table.set(...words, entry.action, entry.ruleId);
  }
  return table;
}
