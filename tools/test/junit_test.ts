import assert from "node:assert/strict";
import { readJunit } from "./junit.ts";

const report = (cases: string) =>
  `<testsuites><testsuite name="./a_test.ts" tests="1">${cases}</testsuite></testsuites>`;

Deno.test("readJunit tells passed, failed and skipped tests apart", () => {
  const cases = readJunit(report(`
    <testcase name="one" classname="x"></testcase>
    <testcase name="two &amp; more" classname="x"><failure message="m">why</failure></testcase>
    <testcase name="three" classname="x">\n<skipped/></testcase>`));
  assert.deepEqual(cases.map(({ name, state }) => [name, state]), [
    ["one", "passed"],
    ["two & more", "failed"],
    ["three", "skipped"],
  ]);
});

Deno.test("readJunit counts the steps of a test in its place", () => {
  const cases = readJunit(report(`
    <testcase name="table"></testcase>
    <testcase name="table &gt; row 1"></testcase>
    <testcase name="table &gt; row 2"></testcase>`));
  assert.deepEqual(cases.map(({ name }) => name), ["table > row 1", "table > row 2"]);
});

Deno.test("readJunit keeps a test that failed beside steps that passed", () => {
  const cases = readJunit(report(`
    <testcase name="table"><failure>leak</failure></testcase>
    <testcase name="table &gt; row 1"></testcase>`));
  assert.deepEqual(cases.map(({ state }) => state), ["failed", "passed"]);
});
