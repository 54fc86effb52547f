import assert from "node:assert/strict";
import { quantile, summarize } from "./stats.ts";

const QUANTILES: [values: number[], share: number, expected: number][] = [
  [[7], 0.99, 7],
  [[3, 1, 2], 0.5, 2],
  [[4, 1, 3, 2], 0.5, 2.5],
  [[10, 20], 0.25, 12.5],
  [[10, 20], 1, 20],
];

for (const [values, share, expected] of QUANTILES) {
  Deno.test(`the ${share} quantile of ${values} is ${expected}`, () => {
    assert.equal(quantile(values, share), expected);
  });
}

Deno.test("there is no quantile of nothing", () => {
  assert.throws(() => quantile([], 0.5), RangeError);
});

Deno.test("a summary leaves its values as they were", () => {
  const values = [3, 1, 2];
  assert.deepEqual(summarize(values), { median: 2, least: 1, most: 3, count: 3 });
  assert.deepEqual(values, [3, 1, 2]);
});
