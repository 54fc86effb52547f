import assert from "node:assert/strict";
import { waitForFileEvent } from "./file_event.ts";

async function elapsed(wait: Promise<void>): Promise<number> {
  const started = performance.now();
  await wait;
  return performance.now() - started;
}

Deno.test("a file that appears ends the wait, another one does not; a wait without events ends", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nvt-event-" });
  try {
    const never = new AbortController().signal;
    const found = elapsed(waitForFileEvent(`${dir}/x`, 20_000, never));
    Deno.writeTextFileSync(`${dir}/other`, "");
    Deno.writeTextFileSync(`${dir}/x`, "");
    assert.ok(await found < 10_000);
    assert.ok(await elapsed(waitForFileEvent(`${dir}/y`, 20, never)) >= 15);
    assert.ok(await elapsed(waitForFileEvent("/nonexistent/y", 20, never)) >= 15);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("an abort ends the wait, before and during", async () => {
  const stop = new AbortController();
  const wait = elapsed(waitForFileEvent("/tmp/novanet-none", 20_000, stop.signal));
  stop.abort();
  assert.ok(await wait < 10_000);
  assert.ok(await elapsed(waitForFileEvent("/tmp/novanet-none", 20_000, stop.signal)) < 10_000);
});
