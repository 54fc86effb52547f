import assert from "node:assert/strict";
import { readAsset } from "../assets.ts";
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { BpfMap, MapType } from "./map.ts";
import { BpfObject, VerifierError } from "./object.ts";
import { compileBpf } from "./testdata/compile.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const sample = await compileBpf("sample.bpf.c");
const refused = await compileBpf("refused.bpf.c");
const u32 = (...values: number[]) => new Uint8Array(new Uint32Array(values).buffer);

function openDescriptors(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return "";
    }
  }).filter((target) => target.includes("bpf"));
}

Deno.test("an object tells its maps and programs before anything is loaded", () => {
  using object = BpfObject.open(sample);
  assert.deepEqual(object.programs(), ["first", "second", "emit"]);
  assert.deepEqual(object.maps().slice(0, 2), ["RUNS", "RING"]);
  const { type, keySize, valueSize, maxEntries, flags } = object.mapSpec("RUNS");
  assert.deepEqual({ type, keySize, valueSize, maxEntries, flags }, {
    type: MapType.HASH,
    keySize: 4,
    valueSize: 8,
    maxEntries: 8,
    flags: 0,
  });
  assert.throws(() => object.mapSpec("NONE"), SysError);
  assert.throws(() => object.map("RUNS"), SysError);
  assert.throws(() => object.program("first"), SysError);
});

Deno.test("a size, a first value and a chosen program take effect at the load", () => {
  using object = BpfObject.open(sample, { name: "nvt" });
  object.setMaxEntries("RUNS", 1000);
  assert.deepEqual(object.initialValue(".rodata"), u32(7));
  object.setInitialValue(".rodata", u32(3));
  object.setAutoload("emit", false);
  object.load();
  using map = object.map("RUNS");
  using program = object.program("first");
  assert.equal(map.info().maxEntries, 1000);
  assert.equal(program.testRun({ dataIn: new Uint8Array(64) }).retval, 3);
  assert.throws(() => object.program("emit"), SysError);
});

Deno.test("a first value of another size is refused", () => {
  using object = BpfObject.open(sample);
  assert.throws(() => object.setInitialValue(".rodata", u32(3, 4)), RangeError);
});

Deno.test("a load takes over an existing map", () => {
  using map = BpfMap.create({
    type: MapType.HASH,
    name: "RUNS",
    keySize: 4,
    valueSize: 8,
    maxEntries: 8,
  });
  map.update(u32(1), u32(41, 0));
  using object = BpfObject.open(sample);
  object.reuseMap("RUNS", map.fd);
  object.load();
  using program = object.program("first");
  program.testRun({ dataIn: new Uint8Array(64) });
  assert.deepEqual(map.lookup(u32(1)), u32(42, 0));
});

Deno.test("maps and programs outlive their object", () => {
  const object = BpfObject.open(sample);
  object.load();
  using map = object.map("RUNS");
  using program = object.program("first");
  object.close();
  object.close();
  program.testRun({ dataIn: new Uint8Array(64) });
  assert.deepEqual(map.lookup(u32(1)), u32(1, 0));
  assert.throws(() => object.map("RUNS"), UseAfterCloseError);
});

Deno.test("the verifier's log comes with its refusal", () => {
  using object = BpfObject.open(refused);
  assert.throws(() => object.load(), (error) => {
    assert(error instanceof VerifierError);
    assert.match(error.log, /invalid mem access|invalid access to packet/);
    assert.match(error.log, /reads_past_the_end/);
    return true;
  });
});

Deno.test("what is no object is refused", () => {
  const text = new TextEncoder().encode(
    "not an object, but more than sixty-four bytes long: ".repeat(2),
  );
  assert.throws(() => BpfObject.open(text), SysError);
  assert.throws(() => BpfObject.open(new Uint8Array(0)), SysError);
  assert.throws(() => BpfObject.open(sample.subarray(0, 400)), SysError);
});

Deno.test("loading and closing leaves no descriptor, after a failure either", () => {
  const before = openDescriptors();
  for (let i = 0; i < 3; i++) {
    using object = BpfObject.open(sample);
    object.load();
    using _map = object.map("RUNS");
    using bad = BpfObject.open(refused);
    assert.throws(() => bad.load());
  }
  assert.deepEqual(openDescriptors(), before);
});

Deno.test("the shipped object loads", () => {
  using object = BpfObject.open(readAsset("datapath.bpf.o"));
  object.load();
  assert(object.programs().includes("pod_egress"));
  assert(object.programs().includes("pod_ingress"));
});
