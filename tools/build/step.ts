import { dirname, join } from "node:path";
import { ROOT } from "./command.ts";
import { contentHash, exists } from "./files.ts";

/** One thing that the build makes, and from what. */
export interface Step {
  /** Unique; names the stamp too. */
  readonly name: string;
  /** Steps that must be over before this one looks at its inputs. */
  readonly after?: readonly string[];
  /** Sources, relative to the checkout. Asked for when the steps before are over. */
  inputs(): readonly string[] | Promise<readonly string[]>;
  /** Whatever else the result depends on: versions of tools, flags. */
  values?(): readonly string[] | Promise<readonly string[]>;
  /** What it makes, relative to the checkout. */
  outputs(): readonly string[];
  /** Makes the outputs. */
  run(): Promise<void>;
}

/** What became of a step. */
export interface StepResult {
  readonly name: string;
  readonly state: "made" | "current";
  readonly milliseconds: number;
}

/**
 * Runs steps in the order of their `after`, side by side where that leaves room. A step whose inputs, values and
 * outputs are as its stamp recorded them is left alone.
 *
 * @param steps all of them; names in `after` that are not among them are ignored
 * @param options.stamps folder of the stamps, relative to the checkout
 * @param options.jobs how many at once
 * @param options.force run steps that are current, too
 * @param options.done called as each ends
 * @throws what the first failing step threw, after those that were running have ended
 */
export async function runSteps(
  steps: readonly Step[],
  options: { stamps: string; jobs: number; force: boolean; done: (result: StepResult) => void },
): Promise<void> {
  const gate = new Gate(options.jobs);
  const running = new Map<string, Promise<void>>();
  const start = async (step: Step) => {
    await Promise.all((step.after ?? []).map((name) => running.get(name)));
    await gate.within(async () =>
      options.done(await runStep(step, `${options.stamps}/${step.name}`, options.force))
    );
  };
  for (const step of inOrder(steps)) running.set(step.name, start(step));
  const results = await Promise.allSettled(running.values());
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

async function runStep(step: Step, stampPath: string, force: boolean): Promise<StepResult> {
  const started = performance.now();
  const stamp = join(ROOT, stampPath);
  const stamped = async () =>
    contentHash([...await step.inputs(), ...step.outputs()], await step.values?.() ?? []);
  const current = !force && exists(stampPath) && step.outputs().every(exists) &&
    Deno.readTextFileSync(stamp) === await stamped();
  if (!current) {
    if (exists(stampPath)) Deno.removeSync(stamp);
    for (const output of step.outputs()) {
      Deno.mkdirSync(dirname(join(ROOT, output)), { recursive: true });
    }
    await step.run();
    Deno.mkdirSync(dirname(stamp), { recursive: true });
    Deno.writeTextFileSync(stamp, await stamped());
  }
  const state = current ? "current" : "made";
  return { name: step.name, state, milliseconds: Math.round(performance.now() - started) };
}

/** Sorts steps so that each comes after those it names. */
function inOrder(steps: readonly Step[]): Step[] {
  const byName = new Map(steps.map((step) => [step.name, step]));
  const ordered = new Set<Step>();
  const visit = (step: Step, above: readonly string[]) => {
    if (above.includes(step.name)) {
      throw new Error(`Build steps form a circle: ${above.join(", ")}`);
    }
    for (const name of step.after ?? []) {
      const before = byName.get(name);
      if (before) visit(before, [...above, step.name]);
    }
    ordered.add(step);
  };
  for (const step of steps) visit(step, []);
  return [...ordered];
}

/** Lets a number of tasks run at once. */
class Gate {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(jobs: number) {
    this.#free = jobs;
  }

  async within(task: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
