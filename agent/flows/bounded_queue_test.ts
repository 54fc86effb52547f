import assert from "node:assert/strict";
import { BoundedQueue } from "./bounded_queue.ts";

Deno.test("values come in order, to a reader that waits and to one that is late", async () => {
  const queue = new BoundedQueue<number>(4);
  const seen: number[] = [];
  const reader = (async () => {
    for await (const value of queue) seen.push(value);
  })();
  queue.push(1);
  await Promise.resolve();
  for (const value of [2, 3]) queue.push(value);
  queue.end();
  await reader;
  assert.deepEqual(seen, [1, 2, 3]);
});

Deno.test("a full queue loses the new value and says so", async () => {
  const queue = new BoundedQueue<number>(2);
  assert.deepEqual([queue.push(1), queue.push(2), queue.push(3)], [true, true, false]);
  queue.end();
  assert.equal(queue.push(4), false);
  assert.deepEqual(await Array.fromAsync(queue), [1, 2]);
});

Deno.test("a long life does not let it grow", async () => {
  const queue = new BoundedQueue<number>(10);
  const values = queue[Symbol.asyncIterator]();
  for (let i = 0; i < 10_000; i++) {
    queue.push(i);
    assert.equal((await values.next()).value, i);
  }
  assert.equal(queue.size, 0);
});
