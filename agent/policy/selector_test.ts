import assert from "node:assert/strict";
import { type LabelRequirement, labelSet } from "./objects/types.ts";
import { selects } from "./selector.ts";

const LABELS = labelSet({ app: "web", empty: "" });

const CASES: [LabelRequirement["operator"], key: string, values: string[], selected: boolean][] = [
  ["In", "app", ["web", "db"], true],
  ["In", "app", ["db"], false],
  ["In", "none", ["web"], false],
  ["In", "empty", [""], true],
  ["NotIn", "app", ["web"], false],
  ["NotIn", "app", ["db"], true],
  ["NotIn", "none", ["web"], true],
  ["Exists", "empty", [], true],
  ["Exists", "none", [], false],
  ["Exists", "constructor", [], false],
  ["DoesNotExist", "none", [], true],
  ["DoesNotExist", "app", [], false],
];

for (const [operator, key, values, selected] of CASES) {
  Deno.test(`${key} ${operator} [${values}] selects: ${selected}`, () => {
    assert.equal(selects({ requirements: [{ key, operator, values }] }, LABELS), selected);
  });
}

Deno.test("an empty selector selects all; of several requirements all must hold", () => {
  assert.equal(selects({ requirements: [] }, labelSet({})), true);
  const app: LabelRequirement = { key: "app", operator: "Exists", values: [] };
  const none: LabelRequirement = { key: "none", operator: "Exists", values: [] };
  assert.equal(selects({ requirements: [app, none] }, LABELS), false);
});
