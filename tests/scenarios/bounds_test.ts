import assert from "node:assert/strict";
import { soakBounds } from "../../bench/soak/bounds/scenario.ts";
import { LeakLedger } from "../../shared/testing/leak_ledger.ts";

/** As long as it takes to send the least: the ten-minute form is `./run soak bounds`. */
const SECONDS = 0;

Deno.test("memory and time stay within their bounds under load", async () => {
  const ledger = LeakLedger.take();
  const notes: string[] = [];
  const problems = await soakBounds({ seconds: SECONDS, note: (text) => notes.push(text) });
  assert.deepEqual(problems, [], notes.join("\n"));
  await ledger.assertNoLeaks();
});
