import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { type FlowEvent, FlowEventSchema, PolicyAction } from "../gen/novanet/v1/novanet_pb.ts";
import { MessageDecoder } from "../rpc/framing.ts";
import { FlowFanOut, MOST_SUBSCRIBERS } from "./fan_out.ts";
import type { FlowFields, FlowFilter } from "./flow_fields.ts";
import type { FlowBatch, FlowSubscriber } from "./flow_group.ts";
import { FlowReader } from "./flow_reader.ts";

const ALL: FlowFilter = { identity: 0, dropsOnly: false };
/** Holds three chunks of one event each. */
const NARROW = { ofAFilter: 900, all: 100_000 };
const { ALLOW, DENY } = PolicyAction;

const flow = (srcPort: number, init: Partial<FlowFields> = {}) =>
  create(FlowEventSchema, { srcIdentity: 256, dstIdentity: 300, srcPort, ...init });

function eventsOf(batches: readonly FlowBatch[]): FlowEvent[] {
  const decoder = new MessageDecoder("answer", 1 << 20);
  const reader = new FlowReader();
  return batches.flatMap(({ bytes }) =>
    decoder.push(bytes).map((message) => reader.read(message.slice()))
  );
}

/** Port and loss of each event that waits. */
async function drain(subscriber: FlowSubscriber): Promise<[port: number, lost: number][]> {
  subscriber.end();
  return eventsOf(await Array.fromAsync(subscriber)).map((
    { srcPort, lostEvents },
  ) => [srcPort, Number(lostEvents)]);
}

function subscribe(fanOut: FlowFanOut, filter = ALL): FlowSubscriber {
  const subscriber = fanOut.subscribe(filter);
  assert(subscriber);
  return subscriber;
}

const FILTERS: [identity: number, dropsOnly: boolean, verdict: PolicyAction, wanted: boolean][] = [
  [0, false, ALLOW, true],
  [0, false, DENY, true],
  [0, true, ALLOW, false],
  [0, true, DENY, true],
  [256, false, ALLOW, true],
  [300, false, ALLOW, true],
  [257, false, ALLOW, false],
  [300, true, DENY, true],
  [300, true, ALLOW, false],
  [257, true, DENY, false],
];
for (const [identity, dropsOnly, verdict, wanted] of FILTERS) {
  const name = `identity ${identity}, drops only ${dropsOnly}, ${PolicyAction[verdict]}`;
  Deno.test(`${name}: ${wanted ? "taken" : "left out"}`, async () => {
    const fanOut = new FlowFanOut();
    const subscriber = subscribe(fanOut, { identity, dropsOnly });
    assert.equal(fanOut.wanted(flow(1, { verdict })), wanted);
    fanOut.publish(flow(1, { verdict }));
    assert.deepEqual(await drain(subscriber), wanted ? [[1, 0]] : []);
  });
}

Deno.test("readers of one filter read the same bytes, in order", async () => {
  const fanOut = new FlowFanOut();
  const readers = [subscribe(fanOut), subscribe(fanOut)];
  for (let port = 1; port <= 1000; port++) fanOut.publish(flow(port));
  fanOut.close();
  const [one, other] = await Promise.all(readers.map((reader) => Array.fromAsync(reader)));
  assert(one && other);
  assert(one.every(({ bytes }, index) => bytes === other[index]?.bytes));
  assert(one.length < 10, `${one.length} batches`);
  assert.deepEqual(
    eventsOf(one).map(({ srcPort }) => srcPort),
    Array.from({ length: 1000 }, (_, i) => i + 1),
  );
});

Deno.test("a reader gets what comes after it came", async () => {
  const fanOut = new FlowFanOut();
  const first = subscribe(fanOut);
  fanOut.publish(flow(1));
  fanOut.addLost(3);
  const second = subscribe(fanOut);
  fanOut.publish(flow(2));
  fanOut.seal();
  assert.deepEqual(await drain(first), [[1, 0], [2, 3]]);
  assert.deepEqual(await drain(second), [[2, 0]]);
});

Deno.test("a slow reader loses the oldest and is told how many; a fast one loses nothing", async () => {
  const fanOut = new FlowFanOut(NARROW);
  const [slow, fast] = [subscribe(fanOut), subscribe(fanOut)];
  const read = fast[Symbol.asyncIterator]();
  for (let port = 1; port <= 10; port++) {
    fanOut.publish(flow(port));
    const { value } = await read.next();
    assert.deepEqual(eventsOf([value as FlowBatch]).map(({ srcPort }) => srcPort), [port]);
  }
  assert.equal(fanOut.lost, 7);
  assert(fanOut.queuedBytes <= NARROW.ofAFilter);
  assert.deepEqual(await drain(slow), [[8, 7], [9, 0], [10, 0]]);
});

Deno.test("what was lost elsewhere comes with the event after it, once, whatever the filter", async () => {
  const fanOut = new FlowFanOut();
  const readers = [ALL, { identity: 0, dropsOnly: true }].map((filter) =>
    subscribe(fanOut, filter)
  );
  fanOut.publish(flow(1, { verdict: DENY }));
  fanOut.addLost(5);
  fanOut.addLost(2);
  fanOut.publish(flow(2, { verdict: ALLOW }));
  fanOut.publish(flow(3, { verdict: DENY }));
  fanOut.seal();
  assert.deepEqual(await Promise.all(readers.map(drain)), [
    [[1, 0], [2, 7], [3, 0]],
    [[1, 0], [3, 7]],
  ]);
});

Deno.test("no event goes uncounted, whatever the order of reads and writes", async () => {
  const fanOut = new FlowFanOut(NARROW);
  const subscriber = subscribe(fanOut);
  const read = subscriber[Symbol.asyncIterator]();
  let [seen, lost, published] = [0, 0, 0];
  const take = (batch: FlowBatch) => {
    for (const event of eventsOf([batch])) {
      lost += Number(event.lostEvents);
      assert.equal(event.srcPort, seen + lost, "events come in order");
      seen++;
    }
  };
  for (let round = 1; round < 300; round++) {
    for (let i = 0; i < round % 13; i++) {
      fanOut.publish(flow(published++));
      if (i % 3 === 0) fanOut.seal();
    }
    fanOut.seal();
    for (let i = 0; i < round % 5 && seen + lost < published; i++) {
      take((await read.next()).value as FlowBatch);
    }
  }
  subscriber.end();
  for await (const batch of { [Symbol.asyncIterator]: () => read }) take(batch);
  assert.equal(seen + lost, published);
  assert(lost > 0 && lost === fanOut.lost);
});

Deno.test("a reader that stands still holds so much and no more, alone and beside others", async () => {
  const fanOut = new FlowFanOut({ ofAFilter: 100_000, all: 150_000 });
  const still = [1, 2, 3].map((identity) => subscribe(fanOut, { identity, dropsOnly: false }));
  for (let round = 0; round < 3000; round++) {
    for (const srcIdentity of [1, 2, 3]) fanOut.publish(flow(round, { srcIdentity }));
  }
  fanOut.seal();
  assert(fanOut.queuedBytes > 100_000 && fanOut.queuedBytes <= 150_000, `${fanOut.queuedBytes}`);
  for (const subscriber of still) fanOut.unsubscribe(subscriber);
  assert.equal(fanOut.queuedBytes, 0);
  assert.deepEqual(await Promise.all(still.map(drain)), [[], [], []]);
});

Deno.test("what all have read is forgotten", async () => {
  const fanOut = new FlowFanOut();
  const read = subscribe(fanOut)[Symbol.asyncIterator]();
  for (let round = 0; round < 100; round++) {
    fanOut.publish(flow(round));
    fanOut.seal();
    await read.next();
    assert.equal(fanOut.queuedBytes, 0);
  }
});

Deno.test("a waiting reader wakes at the end of the turn, and at the end", async () => {
  const fanOut = new FlowFanOut();
  const read = subscribe(fanOut)[Symbol.asyncIterator]();
  const first = read.next();
  fanOut.publish(flow(7));
  assert.deepEqual(eventsOf([(await first).value as FlowBatch]).map(({ srcPort }) => srcPort), [7]);
  const last = read.next();
  fanOut.close();
  assert.equal((await last).done, true);
});

Deno.test("there is a limit to readers, and leaving makes room", () => {
  const fanOut = new FlowFanOut();
  const readers = Array.from({ length: MOST_SUBSCRIBERS }, () => subscribe(fanOut));
  assert.equal(fanOut.subscribe(ALL), undefined);
  if (readers[0]) fanOut.unsubscribe(readers[0]);
  assert.equal(fanOut.size, MOST_SUBSCRIBERS - 1);
  assert(fanOut.subscribe(ALL));
});
