import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "./command.ts";
import { runSteps, type Step } from "./step.ts";

/** A folder of this test's own under .build, and steps that copy one file in it to another. */
class Copies implements Disposable {
  readonly folder = `.build/step-test-${crypto.randomUUID().slice(0, 8)}`;

  constructor() {
    Deno.mkdirSync(join(ROOT, this.folder), { recursive: true });
  }

  write(name: string, text: string): void {
    Deno.writeTextFileSync(join(ROOT, this.folder, name), text);
  }

  read(name: string): string {
    return Deno.readTextFileSync(join(ROOT, this.folder, name));
  }

  step(from: string, to: string, options: { after?: string[]; values?: string[] } = {}): Step {
    return {
      name: to,
      after: options.after ?? [],
      inputs: () => [`${this.folder}/${from}`],
      values: () => options.values ?? [],
      outputs: () => [`${this.folder}/${to}`],
      run: () => {
        this.write(to, this.read(from));
        return Promise.resolve();
      },
    };
  }

  /** Runs steps and says what became of each, such as `b made`. */
  async run(steps: readonly Step[], force = false): Promise<string[]> {
    const ended: string[] = [];
    await runSteps(steps, {
      stamps: `${this.folder}/stamps`,
      jobs: 2,
      force,
      done: ({ name, state }) => ended.push(`${name} ${state}`),
    });
    return ended;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(join(ROOT, this.folder), { recursive: true });
  }
}

Deno.test("a chain of steps runs in order, then is current", async () => {
  using copies = new Copies();
  copies.write("a", "1");
  const steps = [copies.step("b", "c", { after: ["b"] }), copies.step("a", "b")];
  assert.deepEqual(await copies.run(steps), ["b made", "c made"]);
  assert.equal(copies.read("c"), "1");
  assert.deepEqual(await copies.run(steps), ["b current", "c current"]);
  assert.deepEqual(await copies.run(steps, true), ["b made", "c made"]);
});

Deno.test("a step runs again after each change that matters", async (t) => {
  const changes: [what: string, change: (copies: Copies) => void, values: string[]][] = [
    ["its input", (copies) => copies.write("a", "2"), ["v"]],
    ["its output", (copies) => copies.write("b", "edited"), ["v"]],
    ["a value", () => {}, ["w"]],
  ];
  for (const [what, change, values] of changes) {
    await t.step(what, async () => {
      using copies = new Copies();
      copies.write("a", "1");
      await copies.run([copies.step("a", "b", { values: ["v"] })]);
      change(copies);
      assert.deepEqual(await copies.run([copies.step("a", "b", { values })]), ["b made"]);
      assert.equal(copies.read("b"), copies.read("a"));
    });
  }
});

Deno.test("a step that fails stops those after it and leaves no stamp", async () => {
  using copies = new Copies();
  copies.write("a", "1");
  let broken = true;
  const first = copies.step("a", "b");
  const step: Step = {
    ...first,
    run: () => broken ? Promise.reject(new Error("broken")) : first.run(),
  };
  const steps = [step, copies.step("b", "c", { after: ["b"] })];
  await assert.rejects(copies.run(steps), { message: "broken" });
  assert.throws(() => copies.read("c"), Deno.errors.NotFound);
  broken = false;
  assert.deepEqual(await copies.run(steps), ["b made", "c made"]);
});

Deno.test("steps that wait for each other are refused", async () => {
  using copies = new Copies();
  const steps = [
    copies.step("a", "b", { after: ["c"] }),
    copies.step("b", "c", { after: ["b"] }),
  ];
  await assert.rejects(copies.run(steps), /circle/);
});
