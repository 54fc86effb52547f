import assert from "node:assert/strict";
import { UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import type { BpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import type { BpfProgram } from "./program.ts";
import { RingBuffer } from "./ring_buffer.ts";
import { compileBpf } from "./testdata/compile.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const sample = await compileBpf("sample.bpf.c");
const PAGE = shim().nv_page_size();

class Ring implements Disposable {
  readonly map: BpfMap;
  readonly #emit: BpfProgram;

  constructor(sizeBytes: number) {
    using object = BpfObject.open(sample);
    object.setMaxEntries("RING", sizeBytes);
    object.load();
    this.map = object.map("RING");
    this.#emit = object.program("emit");
  }

  /** Writes records; size 0: 8 to 71 bytes in turn. Returns how many the ring had no room for. */
  emit(records: { count: number; size?: number; first?: number; discardEvery?: number }): number {
    const { ctxOut } = this.#emit.testRun({ ctxIn: argument(records) });
    return new Uint32Array(ctxOut.buffer)[4]!;
  }

  async emitAsync(records: { count: number; size?: number; first?: number }): Promise<number> {
    const { ctxOut } = await this.#emit.testRunAsync({ ctxIn: argument(records) });
    return new Uint32Array(ctxOut.buffer)[4]!;
  }

  [Symbol.dispose](): void {
    this.map.close();
    this.#emit.close();
  }
}

function argument({ count, size = 8, first = 0, discardEvery = 0 }: {
  count: number;
  size?: number;
  first?: number;
  discardEvery?: number;
}): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([count, discardEvery, size, first, 0, 0]).buffer);
}

function readNumbers(ring: RingBuffer, max?: number): number[] {
  const numbers: number[] = [];
  ring.consume((view, offset) => numbers.push(Number(view.getBigUint64(offset, true))), max);
  return numbers;
}

const upTo = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);

const SHAPES = [
  { what: "records of one size", size: 8 },
  { what: "records of every size from 8 to 71 bytes", size: 0 },
  { what: "records between others that were given up", size: 24, discardEvery: 3 },
  { what: "records of which each is given up before", size: 40, discardEvery: 1 },
];

for (const { what, ...shape } of SHAPES) {
  Deno.test(`${what} come once each, in order, many times around the ring`, () => {
    using source = new Ring(PAGE);
    using ring = new RingBuffer(source.map);
    for (let round = 0; round < 200; round++) {
      assert.equal(source.emit({ count: 25, first: round * 25, ...shape }), 0);
      assert.deepEqual(readNumbers(ring), upTo(25, round * 25));
    }
    assert.equal(ring.pendingBytes, 0);
  });
}

Deno.test("a record has the length that it was written with", () => {
  using source = new Ring(PAGE);
  using ring = new RingBuffer(source.map);
  source.emit({ count: 10, size: 0 });
  const lengths: number[] = [];
  ring.consume((_view, _offset, length) => lengths.push(length));
  assert.deepEqual(lengths, upTo(10, 8));
});

Deno.test("a full ring refuses records and goes on when it was read", () => {
  using source = new Ring(PAGE);
  using ring = new RingBuffer(source.map);
  const room = PAGE / 16;
  const lost = source.emit({ count: 2 * room });
  const first = readNumbers(ring);
  assert.equal(first.length + lost, 2 * room);
  assert.deepEqual(first, upTo(first.length));
  assert.equal(source.emit({ count: room - 1, first: 5000 }), 0);
  assert.deepEqual(readNumbers(ring), upTo(room - 1, 5000));
});

Deno.test("max ends a reading, and the next one goes on there", () => {
  using source = new Ring(PAGE);
  using ring = new RingBuffer(source.map);
  source.emit({ count: 10 });
  assert.deepEqual(readNumbers(ring, 4), upTo(4));
  assert.deepEqual(readNumbers(ring, 0), []);
  assert.deepEqual(readNumbers(ring), upTo(6, 4));
});

Deno.test("a callback that throws has had its record", () => {
  using source = new Ring(PAGE);
  using ring = new RingBuffer(source.map);
  source.emit({ count: 3 });
  const failing = () => {
    throw new Error("no");
  };
  assert.throws(() => ring.consume(failing), /no/);
  assert.deepEqual(readNumbers(ring), [1, 2]);
});

Deno.test("a new reader goes on where the last one stopped", () => {
  using source = new Ring(PAGE);
  {
    using ring = new RingBuffer(source.map);
    source.emit({ count: 5 });
    readNumbers(ring, 2);
  }
  using ring = new RingBuffer(source.map);
  assert.deepEqual(readNumbers(ring), [2, 3, 4]);
});

Deno.test("wait ends when a record comes, at once when one is there, and after its time", async () => {
  using source = new Ring(PAGE);
  using ring = new RingBuffer(source.map);
  assert.equal(await ring.wait(20), false);
  const waiting = ring.wait(10_000);
  source.emit({ count: 1 });
  assert.equal(await waiting, true);
  assert.equal(await ring.wait(10_000), true);
  readNumbers(ring);
  assert.equal(await ring.wait(0), false);
});

Deno.test("close ends a wait, and what was kept of the memory is gone", async () => {
  using source = new Ring(PAGE);
  const ring = new RingBuffer(source.map);
  source.emit({ count: 1 });
  let kept: DataView | undefined;
  ring.consume((view) => kept = view);
  const waiting = ring.wait(-1);
  ring.close();
  ring.close();
  assert.equal(await waiting, false);
  assert.throws(() => kept?.getUint8(0), TypeError);
  assert.throws(() => readNumbers(ring), UseAfterCloseError);
  await assert.rejects(ring.wait(0), UseAfterCloseError);
});

Deno.test("a callback may close the ring", () => {
  using source = new Ring(PAGE);
  const ring = new RingBuffer(source.map);
  source.emit({ count: 3 });
  assert.equal(ring.consume(() => ring.close()), 1);
});

Deno.test("200,000 records a second for two seconds: none is lost", async () => {
  const perBurst = 10_000;
  const bursts = 40;
  const everyMs = 50;
  using source = new Ring(1 << 23);
  using ring = new RingBuffer(source.map);
  let next = 0;
  let disorder = 0;
  const read = () =>
    ring.consume((view, offset) => {
      if (view.getUint32(offset, true) !== next) disorder++;
      next++;
    });
  const start = performance.now();
  let lost = 0;
  const produce = async () => {
    for (let burst = 0; burst < bursts; burst++) {
      const early = start + burst * everyMs - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      lost += await source.emitAsync({ count: perBurst, size: 64, first: burst * perBurst });
    }
  };
  const produced = produce();
  while (next + lost < perBurst * bursts) {
    if (await ring.wait(5000)) read();
    else break;
  }
  await produced;
  assert.deepEqual({ next, lost, disorder }, { next: perBurst * bursts, lost: 0, disorder: 0 });
});
