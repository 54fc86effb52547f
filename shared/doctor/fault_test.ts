import assert from "node:assert/strict";
import { type Fault, inspect } from "./fault.ts";

const fault = (object: string, repair?: () => void): Fault => ({
  kind: "route",
  object,
  expected: "there",
  found: "gone",
  remedy: "--fix adds it",
  repair,
});

Deno.test("what only one of two looks finds is no fault", async () => {
  const looks = [[fault("passing"), fault("lasting")], [fault("lasting"), fault("new")]];
  const findings = await inspect(() => looks.shift() ?? [], { repair: false, pauseMs: 0 });
  assert.deepEqual(findings.map(({ object }) => object), ["lasting"]);
});

Deno.test("a repair that several faults share runs once, and what is gone is repaired", async () => {
  let repairs = 0;
  const broken = new Set(["a", "b", "c"]);
  const repair = () => {
    repairs++;
    broken.clear();
    broken.add("c");
  };
  const look = () =>
    [...broken].map((object) => fault(object, object === "c" ? undefined : repair));
  const findings = await inspect(look, { repair: true, pauseMs: 0 });
  assert.equal(repairs, 1);
  assert.deepEqual(
    findings.map(({ object, repaired, repairable }) => [object, repaired, repairable]),
    [
      ["a", true, true],
      ["b", true, true],
      ["c", false, false],
    ],
  );
});

Deno.test("a repair that fails is told, and what it brings to light is repaired too", async () => {
  let uncovered = false;
  const look = () => [
    fault("stuck", () => {
      uncovered = true;
      throw new Error("the kernel refuses");
    }),
    ...uncovered ? [fault("below", () => void (uncovered = false))] : [],
  ];
  const findings = await inspect(look, { repair: true, pauseMs: 0 });
  const [stuck, below] = findings;
  assert.deepEqual([stuck?.repaired, stuck?.repairError], [false, "the kernel refuses"]);
  assert.equal(below?.object, "below");
});

Deno.test("a repair that mends nothing is told", async () => {
  const findings = await inspect(() => [fault("as before", () => {})], {
    repair: true,
    pauseMs: 0,
  });
  const [left] = findings;
  assert.deepEqual([left?.repaired, left?.repairError.split(";")[0]], [false, "nothing changed"]);
});

Deno.test("of one kind a hundred are told and the rest is counted", async () => {
  const look = () => Array.from({ length: 250 }, (_, index) => fault(String(index)));
  const findings = await inspect(look, { repair: false, pauseMs: 0 });
  assert.equal(findings.length, 101);
  assert.equal(findings.at(-1)?.object, "150 more");
});
