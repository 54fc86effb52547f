/**
 * Builds dist/ from the checkout: the only place that runs buf, clang, cc, esbuild and `deno compile`.
 *
 *     deno task build [--target x86_64|aarch64] [--only STEP,...] [--force] [--quiet]
 */
import * as esbuild from "esbuild";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CommandError, ROOT } from "./tools/build/command.ts";
import { bundleStep, commitOf, compileStep } from "./tools/build/compile.ts";
import { EXECUTABLES } from "./tools/build/executables.ts";
import { generateSteps } from "./tools/build/generate.ts";
import { bpfStep, shimStep } from "./tools/build/native.ts";
import { runSteps, type Step } from "./tools/build/step.ts";
import { type Target, targetOf } from "./tools/build/target.ts";

/** All steps for a target. */
async function stepsFor(target: Target): Promise<Step[]> {
  const commit = await commitOf();
  return [
    ...generateSteps(target),
    bpfStep(target),
    shimStep(target),
    ...EXECUTABLES.flatMap((executable) => [
      bundleStep(target, executable, commit),
      compileStep(target, executable),
    ]),
  ];
}

/** Keeps the steps with these names; all when there are none. */
function selected(steps: readonly Step[], only: readonly string[]): Step[] {
  const unknown = only.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0) {
    throw new RangeError(
      `Cannot build --only ${unknown.join(",")}: steps are ${
        steps.map((step) => step.name).join(", ")
      }`,
    );
  }
  return only.length === 0 ? [...steps] : steps.filter((step) => only.includes(step.name));
}

/** Waits until no other build of this checkout runs, and keeps others out until disposed. */
async function buildLock(target: Target): Promise<Disposable> {
  Deno.mkdirSync(join(ROOT, target.work), { recursive: true });
  const file = await Deno.open(join(ROOT, target.work, "lock"), { create: true, write: true });
  await file.lock(true);
  return file;
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string" },
      only: { type: "string" },
      force: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
    },
  });
  const target = targetOf(values.target);
  using _lock = await buildLock(target);
  const started = performance.now();
  const steps = selected(await stepsFor(target), values.only?.split(",") ?? []);
  let made = 0;
  await runSteps(steps, {
    stamps: `${target.work}/stamps`,
    jobs: Math.max(2, navigator.hardwareConcurrency),
    force: values.force,
    done(result) {
      if (result.state === "made") made++;
      if (result.state === "made" && !values.quiet) {
        console.error(`${result.name.padEnd(28)} ${(result.milliseconds / 1000).toFixed(1)} s`);
      }
    },
  });
  if (!values.quiet) {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.error(
      `${target.dist}: ${made} of ${steps.length} steps run, the others were current; ${seconds} s`,
    );
  }
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await main(Deno.args);
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof RangeError)) throw error;
    console.error(`build: ${error.message}`);
    Deno.exitCode = 1;
  } finally {
    await esbuild.stop();
  }
}
