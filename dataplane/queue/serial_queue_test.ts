import assert from "node:assert/strict";
import { QueueFullError, SerialQueue } from "./serial_queue.ts";

Deno.test("jobs run one at a time in order, past a failed one", async () => {
  const queue = new SerialQueue(10);
  const log: string[] = [];
  const job = (name: string) => async () => {
    log.push(`${name} begins`);
    await Promise.resolve();
    log.push(`${name} ends`);
    if (name === "b") throw new Error("b failed");
    return name;
  };
  const results = await Promise.allSettled(["a", "b", "c"].map((name) => queue.run(job(name))));
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assert.deepEqual(log, ["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});

Deno.test("a full queue refuses", async () => {
  const queue = new SerialQueue(2);
  const { promise, resolve } = Promise.withResolvers<void>();
  const jobs = [queue.run(() => promise), queue.run(() => promise)];
  await assert.rejects(queue.run(() => undefined), QueueFullError);
  resolve();
  await Promise.all(jobs);
  await queue.run(() => undefined);
});
