import assert from "node:assert/strict";
import { FanOut, MOST_SUBSCRIBERS } from "./fan_out.ts";

const FACTS = { srcIdentity: 256, dstIdentity: 300, denied: false };

const FILTERS: [identity: number, dropsOnly: boolean, denied: boolean, wanted: boolean][] = [
  [0, false, false, true],
  [0, false, true, true],
  [0, true, false, false],
  [0, true, true, true],
  [256, false, false, true],
  [300, false, false, true],
  [257, false, false, false],
  [300, true, true, true],
  [300, true, false, false],
  [257, true, true, false],
];

for (const [identity, dropsOnly, denied, wanted] of FILTERS) {
  const name = `identity ${identity}, drops only ${dropsOnly}, denied ${denied}`;
  Deno.test(`${name}: ${wanted ? "taken" : "left out"}`, async () => {
    const fanOut = new FanOut<string>(4);
    const subscriber = fanOut.subscribe({ identity, dropsOnly });
    assert.ok(subscriber);
    let made = 0;
    fanOut.publish({ ...FACTS, denied }, () => `event ${++made}`);
    fanOut.close();
    assert.equal((await Array.fromAsync(subscriber)).length, wanted ? 1 : 0);
    assert.equal(made, wanted ? 1 : 0, "nothing is made that nobody reads");
  });
}

Deno.test("a slow reader takes nothing from the others", async () => {
  const fanOut = new FanOut<number>(4);
  const all = { identity: 0, dropsOnly: false };
  const slow = fanOut.subscribe(all);
  const quick = fanOut.subscribe(all);
  assert.ok(slow && quick);
  const reader = quick[Symbol.asyncIterator]();
  for (let event = 0; event < 100; event++) {
    fanOut.publish(FACTS, () => event);
    assert.deepEqual((await reader.next()).value, { event, lostBefore: 0 });
  }
  fanOut.addLost(3);
  fanOut.close();
  const late = await Array.fromAsync(slow);
  assert.deepEqual(late[0], { event: 96, lostBefore: 99 });
  assert.equal(late.length, 4);
});

Deno.test("there is a limit to readers, and leaving makes room", () => {
  const fanOut = new FanOut<number>(1);
  const all = { identity: 0, dropsOnly: false };
  const readers = Array.from({ length: MOST_SUBSCRIBERS }, () => fanOut.subscribe(all));
  assert.ok(readers.every((reader) => reader !== undefined));
  assert.equal(fanOut.subscribe(all), undefined);
  if (readers[0]) fanOut.unsubscribe(readers[0]);
  assert.ok(fanOut.subscribe(all));
  fanOut.close();
  assert.equal(fanOut.size, 0);
});
