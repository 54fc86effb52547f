import assert from "node:assert/strict";
import { Coalesced } from "./coalesce.ts";

Deno.test("fifty at once are two runs, and each begins after the question", async () => {
  let value = 0;
  const seen: number[] = [];
  const work = new Coalesced(async () => {
    const begun = value;
    await Promise.resolve();
    seen.push(begun);
  });
  value = 1;
  const first = work.run();
  await Promise.resolve();
  value = 2;
  const rest = Array.from({ length: 50 }, () => work.run());
  await Promise.all([first, ...rest]);
  assert.ok(seen.length <= 2);
  assert.equal(seen.at(-1), 2);
});

Deno.test("a failed run fails its callers only", async () => {
  let fail = true;
  const work = new Coalesced(() =>
    fail ? Promise.reject(new Error("injected")) : Promise.resolve()
  );
  const first = work.run();
  await assert.rejects(first, /injected/);
  fail = false;
  await work.run();
});

Deno.test("runs never overlap", async () => {
  let running = 0;
  const work = new Coalesced(async () => {
    assert.equal(++running, 1);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
  });
  const runs: Promise<void>[] = [];
  for (let i = 0; i < 20; i++) {
    runs.push(work.run());
    await Promise.resolve();
  }
  await Promise.all(runs);
});
