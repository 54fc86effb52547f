import assert from "node:assert/strict";
import type { ManifestProblem } from "./objects/problem.ts";
import { ProblemLog } from "./problem_log.ts";

function problem(line: number): ManifestProblem {
  return { file: "a.yaml", line, path: "spec.x", value: "1", reason: "is not known" };
}

Deno.test("a problem is told once, and again when it comes back", () => {
  const told: string[] = [];
  const log = new ProblemLog({
    error: (_, fields) => told.push(`error ${fields.problem}`),
    warn: (_, fields) => told.push(`warn ${fields.problem}`),
  });
  const [first, second] = [problem(3), problem(4)];
  log.tell({ errors: [first], warnings: [second] });
  assert.deepEqual(told.splice(0), [
    "error a.yaml:3 spec.x 1: is not known",
    "warn a.yaml:4 spec.x 1: is not known",
  ]);
  log.tell({ errors: [first], warnings: [second] });
  assert.deepEqual(told.splice(0), []);
  log.tell({ errors: [], warnings: [second] });
  log.tell({ errors: [first], warnings: [second] });
  assert.deepEqual(told, ["error a.yaml:3 spec.x 1: is not known"]);
});
