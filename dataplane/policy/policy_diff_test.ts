import assert from "node:assert/strict";
import {
  applyChanges,
  diffPatch,
  diffPolicies,
  POLICY_ABSENT,
  type PolicyChanges,
} from "./policy_diff.ts";
import { PolicyTable } from "./policy_table.ts";

function tableOf(...entries: [key: number, action: number, ruleId: number][]): PolicyTable {
  const table = new PolicyTable();
  for (const [key, action, ruleId] of entries) table.set(key, 0, 0, 0, action, ruleId);
  return table;
}

function listed({ count, keys, actions, ruleIds }: PolicyChanges): number[][] {
  const view = new DataView(keys.buffer);
  return Array.from({ length: count }, (_, i) => [
    view.getUint32(i * 16, true),
    ...actions.subarray(i * 2, i * 2 + 2),
    ...ruleIds.subarray(i * 2, i * 2 + 2),
  ]).sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
}

Deno.test("adds, removes and updates, and leaves alone what stays", () => {
  const current = tableOf([1, 1, 10], [2, 1, 10], [3, 0, 11], [4, 1, 12]);
  const desired = tableOf([1, 1, 10], [2, 0, 10], [3, 0, 13], [5, 1, 14]);
  const changes = diffPolicies(current, desired);
  assert.deepEqual(listed(changes), [
    [2, 1, 0, 10, 10],
    [3, 0, 0, 11, 13],
    [4, 1, POLICY_ABSENT, 12, 0],
    [5, POLICY_ABSENT, 1, 0, 14],
  ]);
  const { added, removed, updated } = changes;
  assert.deepEqual({ added, removed, updated }, { added: 1, removed: 1, updated: 2 });
});

Deno.test("equal sets differ in nothing", () => {
  assert.equal(diffPolicies(tableOf([1, 1, 1]), tableOf([1, 1, 1])).count, 0);
  assert.equal(diffPolicies(new PolicyTable(), new PolicyTable()).count, 0);
});

Deno.test("a patch changes what is different, passes over what is not there", () => {
  const current = tableOf([1, 1, 10], [2, 1, 10], [3, 0, 11], [4, 1, 12]);
  const upserts = tableOf([1, 1, 10], [2, 0, 10], [5, 1, 14]);
  const deletes = tableOf([4, 0, 0], [9, 0, 0]);
  const changes = diffPatch(current, { upserts, deletes });
  assert.deepEqual(listed(changes), [
    [2, 1, 0, 10, 10],
    [4, 1, POLICY_ABSENT, 12, 0],
    [5, POLICY_ABSENT, 1, 0, 14],
  ]);
  const { added, removed, updated } = changes;
  assert.deepEqual({ added, removed, updated }, { added: 1, removed: 1, updated: 1 });
  applyChanges(current, changes);
  const wanted = tableOf([1, 1, 10], [2, 0, 10], [3, 0, 11], [5, 1, 14]);
  assert.equal(diffPolicies(current, wanted).count, 0);
});

Deno.test("60,000 entries against 60,000 others: well below a second", () => {
  const build = (from: number) => {
    const table = new PolicyTable(60_000);
    for (let i = from; i < from + 60_000; i++) table.set(i, i % 97, i % 7, 16, i & 1, i);
    return table;
  };
  const start = performance.now();
  const changes = diffPolicies(build(0), build(30_000));
  const elapsedMs = performance.now() - start;
  assert.equal(changes.added, 30_000);
  assert.equal(changes.removed, 30_000);
  assert.equal(changes.updated, 0);
  assert.ok(elapsedMs < 1000, `took ${elapsedMs} ms`);
});
