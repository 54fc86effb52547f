import assert from "node:assert/strict";
import { growthOf, sampleProcess } from "./memory.ts";

Deno.test("growth is from the first third to the last", () => {
  const samples = [10, 11, 12, 50, 60, 70, 20, 21, 22].map((residentMb) => ({
    residentMb,
    descriptors: residentMb,
  }));
  assert.deepEqual(growthOf(samples), {
    from: { residentMb: 11, descriptors: 11 },
    to: { residentMb: 21, descriptors: 21 },
  });
  assert.throws(() => growthOf(samples.slice(0, 2)), RangeError);
});

Deno.test("a process has memory and descriptors", () => {
  const { residentMb, descriptors } = sampleProcess(Deno.pid);
  assert(residentMb > 10 && descriptors > 2);
});
