import assert from "node:assert/strict";
import { fuzz } from "./engine.ts";
import { Mutator } from "./mutator.ts";
import { Fault, type FuzzTarget } from "./target.ts";

/** More than the inputs take: how many there are is what counts. */
const LONG_MS = 60_000;

/** Falls over one token deep in the input, and hangs on another one. */
const toy = (run: (text: string) => string | Promise<string>): FuzzTarget => ({
  name: "toy",
  what: "a toy",
  limitMs: 50,
  tokens: ["<bad>", "<slow>"],
  seeds: () => [new TextEncoder().encode("begin middle end")],
  open: () =>
    Promise.resolve({
      run: (input: Uint8Array) => run(new TextDecoder().decode(input)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
});

Deno.test("the fuzzer finds an input that makes a target throw, once for each kind of fault", async () => {
  const target = toy((text) => {
    if (text.includes("<bad>")) throw new Fault(`bad at ${text.indexOf("<bad>")}`);
    return "good";
  });
  const { findings, inputs } = await fuzz(target, { seed: 1, ms: LONG_MS, most: 300 });
  assert(inputs > 10);
  assert.equal(findings.length, 1);
  assert.match(new TextDecoder().decode(findings[0]?.input), /<bad>/);
});

Deno.test("the fuzzer finds an input on which a target hangs", async () => {
  const target = toy((text) =>
    text.includes("<slow>") ? new Promise<string>(() => {}) : Promise.resolve("good")
  );
  const { findings } = await fuzz(target, { seed: 1, ms: LONG_MS, most: 30 });
  assert.match(String(findings[0]?.error), /not done after 50 ms/);
});

Deno.test("an input with a new outcome is mutated further", async () => {
  // Each step needs the one before: nobody guesses all of them at once.
  const target = toy((text) => `${text.split("<bad>").length}`);
  const { fresh } = await fuzz(target, { seed: 1, ms: LONG_MS, most: 5000 });
  assert(fresh.some((input) => new TextDecoder().decode(input).split("<bad>").length > 4));
});

Deno.test("a target is told when its seeds were taken, and what it says is reported", async () => {
  const heard: string[] = [];
  const target: FuzzTarget = {
    ...toy(() => ""),
    open: () =>
      Promise.resolve({
        run: () => `${heard.push("run")}`,
        warm: () => void heard.push("warm"),
        summary: () => heard.join(" "),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
  const { summary } = await fuzz(target, { seed: 1, ms: LONG_MS, most: 2 });
  assert.equal(summary, "run warm run run");
});

Deno.test("the same seed makes the same inputs, another one others", () => {
  const pool = [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)];
  const inputs = (seed: number) => {
    const mutator = new Mutator(seed, ["token"]);
    return Array.from({ length: 50 }, () => mutator.next(pool).toHex());
  };
  assert.deepEqual(inputs(1), inputs(1));
  assert.notDeepEqual(inputs(1), inputs(2));
  assert(new Set(inputs(1)).size > 30);
});

Deno.test("mutating nothing at all works", () => {
  const mutator = new Mutator(1);
  for (let round = 0; round < 5000; round++) mutator.next([new Uint8Array()]);
  for (let round = 0; round < 100; round++) mutator.next([]);
});
