import assert from "node:assert/strict";
import { PolicyTable } from "./policy_table.ts";

type Key = [number, number, number, number];

function contents(table: PolicyTable): Map<string, string> {
  return new Map(
    [...table.slots()].map((slot) => [
      [0, 1, 2, 3].map((index) => table.word(slot, index)).join(),
      `${table.action(slot)}/${table.ruleId(slot)}`,
    ]),
  );
}

/** A small deterministic generator, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
}

Deno.test("behaves as a map over 50,000 random operations", () => {
  const next = random(7);
  const table = new PolicyTable();
  const model = new Map<string, string>();
  for (let i = 0; i < 50_000; i++) {
    const key: Key = [next() % 8, next() % 8 + 0xffff_fff0, next() % 4, next() % 8];
    const name = key.join();
    if (next() % 3 === 0) {
      assert.equal(table.delete(...key), model.delete(name));
    } else {
      const action = next() % 2;
      const ruleId = next();
      table.set(...key, action, ruleId);
      model.set(name, `${action}/${ruleId}`);
    }
    assert.equal(table.size, model.size);
    assert.equal(table.find(...key) >= 0, model.has(name));
  }
  assert.deepEqual(contents(table), model);
});

Deno.test("key bytes are those of struct policy_key", () => {
  const table = new PolicyTable();
  table.set(0x01020304, 256, (6 | 1 << 8 | 8080 << 16) >>> 0, 16, 1, 0);
  const [slot] = table.slots();
  assert.deepEqual(
    [...table.keyBytes(slot as number)],
    [4, 3, 2, 1, 0, 1, 0, 0, 6, 1, 0x90, 0x1f, 16, 0, 0, 0],
  );
});
