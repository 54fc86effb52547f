/**
 * Builds, then runs every check and test of the project, and ends with `N passed, N failed, N skipped`.
 *
 *     deno task test [FILTER]
 *
 * With FILTER only the test files whose path holds it are run, and no checks.
 */
import { filesUnder } from "./build/files.ts";
import { changedPaths, generatedNow } from "./test/generated.ts";
import type { TestCase } from "./test/junit.ts";
import { checkStage, type Stage, testStage } from "./test/stage.ts";

const SOURCE_FOLDERS = [
  "agent",
  "bench",
  "cli",
  "cni",
  "dataplane",
  "demo",
  "proto",
  "shared",
  "tests",
  "tools",
];

/** Builds, and sees whether the generated files that were there are what the build makes. */
function buildStage(): Stage {
  const build = checkStage("build", ["run", "-A", "build.ts"], 300_000);
  return {
    name: "build",
    async run() {
      const before = generatedNow();
      const { cases, output } = await build.run();
      const stale = changedPaths(before, generatedNow());
      const current: TestCase = {
        file: "build",
        name: "generated files are current",
        state: stale.length === 0 ? "passed" : "failed",
      };
      const note = stale.map((path) =>
        `${path}: was not what the build makes; commit the new one\n`
      );
      return { cases: [...cases, current], output: output + note.join("") };
    },
  };
}

/** The stages, in order; with a filter those that have matching files. */
function stagesFor(filter: string | undefined): Stage[] {
  const files = SOURCE_FOLDERS.flatMap((folder) =>
    filesUnder(folder, (path) => path.endsWith("_test.ts"))
  )
    .filter((path) => filter === undefined || path.includes(filter));
  const scenario = (path: string) => path.startsWith("tests/") && !path.startsWith("tests/repo/");
  const privileged = (path: string) => !scenario(path) && path.endsWith("_priv_test.ts");
  const repo = (path: string) => path.startsWith("tests/repo/");
  const unit = (path: string) => !scenario(path) && !privileged(path) && !repo(path);
  const sources = SOURCE_FOLDERS.flatMap((folder) =>
    filesUnder(folder, (path) => path.endsWith(".ts"))
  );
  const checks = [
    checkStage("fmt", ["fmt", "--check"]),
    checkStage("lint", ["lint", "--quiet"]),
    checkStage("check", ["check", "--quiet", "build.ts", ...sources]),
  ];
  const tests = [
    { name: "unit tests", files: files.filter(unit), jobs: 2, limitMs: 180_000 },
    { name: "repository tests", files: files.filter(repo), jobs: 1, limitMs: 180_000 },
    { name: "privileged tests", files: files.filter(privileged), jobs: 1, limitMs: 400_000 },
    { name: "scenarios", files: files.filter(scenario), jobs: 1, limitMs: 720_000 },
  ].filter((stage) => stage.files.length > 0).map(({ name, ...options }) =>
    testStage(name, options)
  );
  return [buildStage(), ...(filter === undefined ? checks : []), ...tests];
}

/** The part of `deno test`'s output that tells of failures; all of it when there is no such part. */
function failures(output: string): string {
  const start = output.indexOf("\n ERRORS \n");
  return start < 0 ? output : output.slice(start);
}

async function main(filter: string | undefined): Promise<number> {
  if (Deno.uid() !== 0) {
    console.error("test: root is needed: the tests make network namespaces and load BPF programs");
    return 1;
  }
  const stages = stagesFor(filter);
  const total = { passed: 0, failed: 0, skipped: 0 };
  const skips: string[] = [];
  for (const stage of stages) {
    const started = performance.now();
    const { cases, output } = await stage.run();
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const one of cases) count[one.state]++;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(
      `${
        stage.name.padEnd(18)
      } ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped (${seconds} s)`,
    );
    if (count.failed > 0) {
      console.log(failures(output));
      for (const one of cases.filter((one) => one.state === "failed")) {
        console.log(`  failed: ${one.file} ${one.name}`);
      }
    }
    skips.push(
      ...cases.filter((one) => one.state === "skipped").map((one) => `${one.file} ${one.name}`),
    );
    for (const state of ["passed", "failed", "skipped"] as const) total[state] += count[state];
    // Without executables every later failure would only repeat this one.
    if (stage.name === "build" && count.failed > 0 && cases[0]?.state === "failed") break;
  }
  for (const skip of skips) console.log(`skipped: ${skip}`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args[0]));
