import assert from "node:assert/strict";
import { KeyedLock } from "./keyed_lock.ts";

Deno.test("the same key waits, another one does not, a failure blocks nobody", async () => {
  const lock = new KeyedLock();
  const seen: string[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const first = lock.run("a", async () => {
    await gate;
    seen.push("a1");
    throw new Error("injected");
  });
  const second = lock.run("a", () => Promise.resolve(seen.push("a2")));
  await lock.run("b", () => Promise.resolve(seen.push("b1")));
  open();
  await assert.rejects(first, /injected/);
  await second;
  assert.deepEqual(seen, ["b1", "a1", "a2"]);
});
