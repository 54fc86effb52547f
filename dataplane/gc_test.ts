import assert from "node:assert/strict";
import { backOffMs, intervalMs } from "./gc.ts";

const CASES: [fill: number, runMs: number, flowIntervalMs: number, ms: number][] = [
  [0, 1, 5000, 5000],
  [0.5, 1, 5000, 5000],
  [0.75, 1, 5000, 2500],
  [1, 1, 5000, 500],
  [0, 1, 60_000, 5000],
  [0, 1, 1000, 1000],
  [0, 1, 100, 500],
  [0, 400, 5000, 8000],
  [0.5, 400, 5000, 8000],
  [0.8, 2000, 5000, 4000],
  [1, 400, 5000, 800],
  [0, 4000, 5000, 10_000],
];

for (const [fill, runMs, flowIntervalMs, ms] of CASES) {
  Deno.test(`full to ${fill}, runs of ${runMs} ms, flow interval ${flowIntervalMs} ms: ${ms} ms`, () => {
    assert.equal(intervalMs({ fill, runMs, flowIntervalMs }), ms);
  });
}

Deno.test("failures are retried with growing pauses up to a minute", () => {
  assert.deepEqual([1, 2, 3, 6, 7, 100].map(backOffMs), [
    1000,
    2000,
    4000,
    32_000,
    60_000,
    60_000,
  ]);
});
