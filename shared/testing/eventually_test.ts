import assert from "node:assert/strict";
import { eventually, EventuallyError } from "./eventually.ts";

Deno.test("eventually gives the first value that is neither false nor undefined", async () => {
  const values = [undefined, false, 0, 1];
  assert.equal(await eventually(() => values.shift(), { intervalMs: 1 }), 0);
});

Deno.test("eventually tries again when the attempt throws or rejects", async () => {
  let tries = 0;
  const result = await eventually(async () => {
    if (++tries < 3) throw new Error("not yet");
    return await Promise.resolve("there");
  }, { intervalMs: 1 });
  assert.deepEqual([result, tries], ["there", 3]);
});

Deno.test("eventually says what it waited for and why it failed last", async () => {
  const cause = new Error("the last reason");
  const attempt = () => {
    throw cause;
  };
  await assert.rejects(
    eventually(attempt, { timeoutMs: 5, intervalMs: 1, what: "dawn" }),
    (error) => {
      assert(error instanceof EventuallyError);
      assert.equal(error.message, "dawn did not come true in 5 ms: the last reason");
      assert.equal(error.cause, cause);
      return true;
    },
  );
});
