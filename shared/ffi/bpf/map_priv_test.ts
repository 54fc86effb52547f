import assert from "node:assert/strict";
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { BatchError, BPF_EXIST, BPF_NOEXIST, BpfMap, MapType, possibleCpus } from "./map.ts";
import { privateBpffs } from "./testdata/bpffs.ts";

/** A trie is not made without this flag of linux/bpf.h. */
const BPF_F_NO_PREALLOC = 1;

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const u32 = (...values: number[]) => new Uint8Array(new Uint32Array(values).buffer);
const numbers = (bytes: Uint8Array) => [...new Uint32Array(bytes.slice().buffer)];

function makeMap(type: number, maxEntries = 8, keySize = 4, flags = 0): BpfMap {
  return BpfMap.create({ type, name: "nvt_map", keySize, valueSize: 4, maxEntries, flags });
}

function code(expected: string) {
  return (error: unknown) => error instanceof SysError && error.code === expected;
}

const SINGLE = [
  { name: "HASH", type: MapType.HASH, keySize: 4, flags: 0 },
  { name: "LRU_HASH", type: MapType.LRU_HASH, keySize: 4, flags: 0 },
  { name: "LPM_TRIE", type: MapType.LPM_TRIE, keySize: 8, flags: BPF_F_NO_PREALLOC },
];

for (const { name, type, keySize, flags } of SINGLE) {
  const key = (n: number) => keySize === 4 ? u32(n) : u32(32, n);

  Deno.test(`a ${name} gives back what was put in and forgets what was deleted`, () => {
    using map = makeMap(type, 8, keySize, flags);
    assert.equal(map.lookup(key(1)), undefined);
    map.update(key(1), u32(10));
    map.update(key(2), u32(20));
    map.update(key(1), u32(11));
    assert.deepEqual(map.lookup(key(1)), u32(11));
    assert.deepEqual([...map.entries()].map(([, value]) => numbers(value)[0]).sort(), [11, 20]);
    assert.equal(map.delete(key(1)), true);
    assert.equal(map.delete(key(1)), false);
    assert.deepEqual([...map.keys()], [key(2)]);
  });
}

Deno.test("an update obeys its flags", () => {
  using map = makeMap(MapType.HASH);
  assert.throws(() => map.update(u32(1), u32(1), BPF_EXIST), code("ENOENT"));
  map.update(u32(1), u32(1), BPF_NOEXIST);
  assert.throws(() => map.update(u32(1), u32(2), BPF_NOEXIST), code("EEXIST"));
  map.update(u32(1), u32(3), BPF_EXIST);
  assert.deepEqual(map.lookup(u32(1)), u32(3));
});

Deno.test("a full hash refuses a new key with E2BIG and still takes a known one", () => {
  using map = makeMap(MapType.HASH, 2);
  map.update(u32(1), u32(1));
  map.update(u32(2), u32(2));
  assert.throws(() => map.update(u32(3), u32(3)), code("E2BIG"));
  map.update(u32(2), u32(4));
});

Deno.test("an array has all its elements from the start and gives none up", () => {
  using map = makeMap(MapType.ARRAY, 3);
  assert.deepEqual([...map.entries()].map(([key, value]) => [numbers(key), numbers(value)]), [
    [[0], [0]],
    [[1], [0]],
    [[2], [0]],
  ]);
  assert.throws(() => map.delete(u32(0)), code("EINVAL"));
  assert.equal(map.lookup(u32(3)), undefined);
});

Deno.test("an element of a per-CPU map has a value for each CPU, 8 bytes apart", () => {
  using map = makeMap(MapType.PERCPU_ARRAY, 2);
  const cpus = possibleCpus();
  assert.equal(map.valueBytes, 8 * cpus);
  const words = Array.from({ length: 2 * cpus }, (_, i) => i % 2 ? 0 : i + 1);
  map.update(u32(1), u32(...words));
  assert.deepEqual(numbers(map.lookup(u32(1)) ?? u32()), words);
  assert.deepEqual([...map.entries()].map(([, value]) => numbers(value)[0]), [0, 1]);
});

Deno.test("a key or value of the wrong size never reaches the kernel", () => {
  using map = makeMap(MapType.HASH);
  assert.throws(() => map.lookup(u32(1, 2)), RangeError);
  assert.throws(() => map.update(u32(1), new Uint8Array(3)), RangeError);
  assert.throws(() => map.delete(new Uint8Array(0)), RangeError);
  assert.throws(() => map.updateBatch(u32(1, 2), u32(1), 2), RangeError);
});

Deno.test("batches write, read and delete 60,000 entries", () => {
  const count = 60_000;
  using map = makeMap(MapType.HASH, 65_536);
  const keys = u32(...Array.from({ length: count }, (_, i) => i));
  const values = u32(...Array.from({ length: count }, (_, i) => 3 * i));
  assert.equal(map.updateBatch(keys, values, count), count);
  const seen = new Map<number, number>();
  for (const [key, value] of map.entries()) seen.set(numbers(key)[0]!, numbers(value)[0]!);
  assert.equal(seen.size, count);
  assert.equal(seen.get(59_999), 179_997);
  // Half of these were never there.
  assert.equal(map.deleteBatch(u32(...Array.from({ length: 10 }, (_, i) => 59_995 + i)), 10), 5);
  assert.equal([...map.keys()].length, count - 5);
});

Deno.test("a batch that fails says how many elements were done", () => {
  using map = makeMap(MapType.HASH, 2);
  const failure = (error: unknown) =>
    error instanceof BatchError && error.code === "E2BIG" && error.done === 2;
  assert.throws(() => map.updateBatch(u32(1, 2, 3, 4), u32(1, 2, 3, 4), 4), failure);
  assert.deepEqual([...map.keys()].map((key) => numbers(key)[0]).sort(), [1, 2]);
});

Deno.test("an empty batch is no system call", () => {
  using map = makeMap(MapType.HASH);
  assert.equal(map.updateBatch(u32(), u32(), 0), 0);
  assert.equal(map.deleteBatch(u32(), 0), 0);
});

Deno.test("entries of an empty map are none", () => {
  using map = makeMap(MapType.HASH);
  assert.deepEqual([...map.entries()], []);
});

Deno.test("a pinned map outlives its descriptor and is the same map", () => {
  using bpffs = privateBpffs();
  const path = `${bpffs.path}/map`;
  {
    using map = makeMap(MapType.HASH);
    map.update(u32(5), u32(6));
    map.pin(path);
    assert.throws(() => map.pin(path), code("EEXIST"));
  }
  using again = BpfMap.openPinned(path);
  assert.deepEqual(again.lookup(u32(5)), u32(6));
  using byId = BpfMap.byId(again.info().id);
  assert.deepEqual(byId.info(), again.info());
  assert.deepEqual(again.info(), {
    id: again.info().id,
    name: "nvt_map",
    type: MapType.HASH,
    keySize: 4,
    valueSize: 4,
    maxEntries: 8,
    flags: 0,
    btf: undefined,
  });
  assert.throws(() => BpfMap.openPinned(`${bpffs.path}/nothing`), code("ENOENT"));
});

Deno.test("a map of maps takes maps of the given shape", () => {
  using inner = makeMap(MapType.HASH);
  using outer = BpfMap.create({
    type: MapType.ARRAY_OF_MAPS,
    name: "nvt_outer",
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
    innerMapFd: inner.fd,
  });
  outer.update(u32(0), u32(inner.fd));
  assert.deepEqual(outer.lookup(u32(0)), u32(inner.info().id));
  using other = makeMap(MapType.ARRAY, 4);
  assert.throws(() => outer.update(u32(0), u32(other.fd)), code("EINVAL"));
});

Deno.test("a frozen map takes no updates", () => {
  using map = makeMap(MapType.ARRAY, 1);
  map.freeze();
  assert.throws(() => map.update(u32(0), u32(1)), code("EPERM"));
});

Deno.test("a closed map refuses everything, and closing again does nothing", () => {
  const map = makeMap(MapType.HASH);
  map.close();
  map.close();
  assert.throws(() => map.lookup(u32(1)), UseAfterCloseError);
  assert.throws(() => map.fd, UseAfterCloseError);
});

Deno.test("a map that the kernel refuses is an error with its number", () => {
  assert.throws(() => makeMap(MapType.HASH, 0), code("EINVAL"));
});
