import assert from "node:assert/strict";
import { allSettled } from "./settled.ts";

Deno.test("the failure is told when the rest has ended, and the first in the list wins", async () => {
  const slow = Promise.withResolvers<void>();
  const failing = allSettled([slow.promise, Promise.reject(new Error("at once"))]);
  let told = false;
  failing.catch(() => told = true);
  await Promise.resolve();
  assert.equal(told, false);
  slow.reject(new Error("late"));
  await assert.rejects(failing, /late/);
  await allSettled([Promise.resolve(), Promise.resolve({})]);
});
