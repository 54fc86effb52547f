import assert from "node:assert/strict";
import { type Delivery, Subscriber } from "./subscriber.ts";

const ALL = { identity: 0, dropsOnly: false };

async function drain(subscriber: Subscriber<number>): Promise<Delivery<number>[]> {
  subscriber.end();
  return await Array.fromAsync(subscriber);
}

Deno.test("a reader gets events in order", async () => {
  const subscriber = new Subscriber<number>(ALL, 4);
  for (const event of [1, 2, 3]) subscriber.push(event);
  assert.deepEqual(await drain(subscriber), [1, 2, 3].map((event) => ({ event, lostBefore: 0 })));
});

Deno.test("a slow reader loses the oldest and is told how many", async () => {
  const subscriber = new Subscriber<number>(ALL, 4);
  for (let event = 0; event < 10; event++) subscriber.push(event);
  assert.deepEqual(await drain(subscriber), [
    { event: 6, lostBefore: 6 },
    { event: 7, lostBefore: 0 },
    { event: 8, lostBefore: 0 },
    { event: 9, lostBefore: 0 },
  ]);
});

Deno.test("what was lost elsewhere comes with the next event, once", async () => {
  const subscriber = new Subscriber<number>(ALL, 4);
  subscriber.addLost(5);
  subscriber.addLost(2);
  subscriber.push(1);
  subscriber.push(2);
  assert.deepEqual((await drain(subscriber)).map(({ lostBefore }) => lostBefore), [7, 0]);
});

Deno.test("no event goes uncounted, whatever the order of reads and writes", async () => {
  const subscriber = new Subscriber<number>(ALL, 8);
  const reader = subscriber[Symbol.asyncIterator]();
  let seen = 0;
  let lost = 0;
  let pushed = 0;
  const take = ({ event, lostBefore }: Delivery<number>) => {
    lost += lostBefore;
    assert.equal(event, seen + lost, "events come in order");
    seen++;
  };
  for (let round = 1; round < 200; round++) {
    for (let i = 0; i < round % 13; i++) subscriber.push(pushed++);
    for (let i = 0; i < round % 5 && seen + lost < pushed; i++) {
      const { value } = await reader.next();
      take(value as Delivery<number>);
    }
  }
  subscriber.end();
  for await (const delivery of { [Symbol.asyncIterator]: () => reader }) take(delivery);
  assert.equal(seen + lost, pushed);
});

Deno.test("a waiting reader wakes at the next event and at the end", async () => {
  const subscriber = new Subscriber<number>(ALL, 4);
  const reader = subscriber[Symbol.asyncIterator]();
  const first = reader.next();
  subscriber.push(7);
  assert.deepEqual((await first).value, { event: 7, lostBefore: 0 });
  const last = reader.next();
  subscriber.end();
  assert.equal((await last).done, true);
});
