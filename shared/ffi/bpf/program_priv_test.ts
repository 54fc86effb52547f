import assert from "node:assert/strict";
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { BpfObject } from "./object.ts";
import { BpfProgram, ProgramType } from "./program.ts";
import { privateBpffs } from "./testdata/bpffs.ts";
import { compileBpf } from "./testdata/compile.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const sample = await compileBpf("sample.bpf.c");
const SKB_SIZE = 192;
const SKB_MARK = 8;
const u32 = (...values: number[]) => new Uint8Array(new Uint32Array(values).buffer);

function load(name: string): BpfProgram {
  using object = BpfObject.open(sample);
  object.load();
  return object.program(name);
}

Deno.test("a test run returns verdict, packet and context", () => {
  using program = load("first");
  const packet = Uint8Array.from({ length: 100 }, (_, i) => i);
  const run = program.testRun({ dataIn: packet, ctxIn: new Uint8Array(SKB_SIZE) });
  assert.equal(run.retval, 7);
  assert.deepEqual(run.dataOut, packet);
  assert.equal(run.ctxOut.byteLength, SKB_SIZE);
  assert.equal(new DataView(run.ctxOut.buffer).getUint32(SKB_MARK, true), 100);
});

Deno.test("a test run repeats, and says how long one run took", () => {
  using object = BpfObject.open(sample);
  object.load();
  using program = object.program("first");
  using runs = object.map("RUNS");
  const { durationNs } = program.testRun({ dataIn: new Uint8Array(64), repeat: 1000 });
  assert(durationNs > 0);
  assert.deepEqual(runs.lookup(u32(1)), u32(1000, 0));
});

Deno.test("a test run on a thread gives the same and outlives the program's handle", async () => {
  const program = load("first");
  const run = program.testRunAsync({ dataIn: new Uint8Array(64), repeat: 200_000 });
  program.close();
  assert.equal((await run).retval, 7);
});

Deno.test("a syscall program gets its context and changes it", () => {
  using program = load("emit");
  assert.equal(program.type, ProgramType.SYSCALL);
  const argument = u32(1000, 0, 8, 0, 99, 0);
  const run = program.testRun({ ctxIn: argument });
  assert.equal(run.retval, 0);
  assert.deepEqual(run.ctxOut, u32(1000, 0, 8, 0, 99, 0));
  assert.deepEqual(argument, u32(1000, 0, 8, 0, 99, 0));
});

const REFUSED = [
  { what: "a packet shorter than an Ethernet header", run: { dataIn: new Uint8Array(13) } },
  {
    what: "a context of the wrong size",
    run: { dataIn: new Uint8Array(64), ctxIn: u32(...Array(80).fill(1)) },
  },
  { what: "no packet", run: {} },
];

for (const { what, run } of REFUSED) {
  Deno.test(`a test run with ${what} is refused`, async () => {
    using program = load("first");
    assert.throws(() => program.testRun(run), SysError);
    await assert.rejects(program.testRunAsync(run), SysError);
  });
}

Deno.test("too little room for the answer is an error, not a cut packet", () => {
  using program = load("first");
  assert.throws(
    () => program.testRun({ dataIn: new Uint8Array(64), dataOutSize: 10 }),
    (error) => error instanceof SysError && error.code === "ENOSPC",
  );
});

Deno.test("a program tells what the kernel knows of it", () => {
  using object = BpfObject.open(sample);
  object.load();
  using program = object.program("first");
  using runs = object.map("RUNS");
  const info = program.info();
  assert.equal(info.name, "first");
  assert.equal(info.type, ProgramType.SCHED_CLS);
  assert.match(info.tag, /^[0-9a-f]{16}$/);
  assert(info.verifiedInsns > 5);
  assert(program.mapIds().includes(runs.info().id));
  using same = BpfProgram.byId(info.id);
  assert.deepEqual(same.info(), info);
});

Deno.test("a pinned program outlives its descriptor", () => {
  using bpffs = privateBpffs();
  const path = `${bpffs.path}/program`;
  const program = load("first");
  const { id } = program.info();
  program.pin(path);
  program.close();
  using again = BpfProgram.openPinned(path);
  assert.equal(again.info().id, id);
  assert.throws(() => program.info(), UseAfterCloseError);
});
