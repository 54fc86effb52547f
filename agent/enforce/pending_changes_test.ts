import assert from "node:assert/strict";
import type { CompiledCidr, PolicyChanges } from "../policy/mod.ts";
import { compiledEntry } from "../testing/compiled_entry.ts";
import { PendingChanges } from "./pending_changes.ts";

const cidr = (cidrIp: number, identityId: number): CompiledCidr => ({
  cidrIp,
  prefixLen: 24,
  identityId,
});
const changes = (some: Partial<PolicyChanges>): PolicyChanges => ({
  upserted: [],
  removed: [],
  cidrsAdded: [],
  cidrsRemoved: [],
  rulesAdded: {},
  rulesRemoved: [],
  empty: false,
  ...some,
});

Deno.test("the last word about each thing counts", () => {
  const pending = new PendingChanges();
  pending.add(changes({
    upserted: [compiledEntry(300, 16), compiledEntry(301, 16)],
    cidrsAdded: [cidr(1, 100), cidr(2, 101)],
    rulesAdded: { 16: "a", 17: "b" },
  }));
  pending.add(changes({
    upserted: [compiledEntry(300, 17)],
    removed: [compiledEntry(301, 16), compiledEntry(302, 9)],
    cidrsRemoved: [cidr(2, 101)],
    rulesRemoved: [16],
  }));
  // A CIDR that has another identity now is removed under the old one and added under the new.
  pending.add(changes({ cidrsAdded: [cidr(1, 103)], cidrsRemoved: [cidr(1, 100)] }));
  assert.deepEqual(pending.takeAll(), {
    upserts: [compiledEntry(300, 17)],
    deletes: [compiledEntry(301, 16), compiledEntry(302, 9)],
    cidrUpserts: [cidr(1, 103)],
    cidrDeletes: [cidr(2, 101)],
    ruleNameUpserts: { 17: "b" },
    ruleNameDeletes: [16],
  });
  assert.ok(pending.empty);
});

Deno.test("additions first, what goes after them; what came back in between stays", () => {
  const pending = new PendingChanges();
  pending.add(changes({
    upserted: [compiledEntry(300, 16)],
    removed: [compiledEntry(301, 16), compiledEntry(302, 16)],
    rulesAdded: { 18: "c" },
    rulesRemoved: [17],
  }));
  const additions = pending.takeAdditions();
  assert.deepEqual(additions.upserts, [compiledEntry(300, 16)]);
  assert.deepEqual(additions.ruleNameUpserts, { 18: "c" });
  assert.deepEqual([additions.deletes, additions.ruleNameDeletes], [[], []]);
  assert.ok(!pending.empty);
  pending.add(changes({ upserted: [compiledEntry(301, 19)] }));
  const rest = pending.takeAll();
  assert.deepEqual(rest.upserts, [compiledEntry(301, 19)]);
  assert.deepEqual(rest.deletes, [compiledEntry(302, 16)]);
  assert.deepEqual(rest.ruleNameDeletes, [17]);
});
