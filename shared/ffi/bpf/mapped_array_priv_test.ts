import assert from "node:assert/strict";
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { BpfMap, MapType } from "./map.ts";
import { MappedArray } from "./mapped_array.ts";

// Loaded here and not within a test, whose sanitizer would take a library that stays for a leak.
shim();

const BPF_F_MMAPABLE = 1024;
const SHAPE = { name: "nvt", type: MapType.ARRAY, keySize: 4, valueSize: 20, maxEntries: 3 };

Deno.test("a store is seen through the map, in its element alone", () => {
  using map = BpfMap.create({ ...SHAPE, flags: BPF_F_MMAPABLE });
  using array = new MappedArray(map);
  array.store(1, 0, 0x0102030405060708n);
  array.store(1, 2, 0x11n);
  const elements = [...map.entries()].map(([, value]) => value.toHex());
  assert.deepEqual(elements, [
    "00".repeat(20),
    `0807060504030201${"00".repeat(8)}11000000`,
    "00".repeat(20),
  ]);
  array.close();
  array.close();
  assert.throws(() => array.store(0, 0, 0n), UseAfterCloseError);
});

Deno.test("a map without the flag cannot be mapped", () => {
  using map = BpfMap.create(SHAPE);
  assert.throws(
    () => new MappedArray(map),
    (error) => error instanceof SysError && error.code === "EINVAL",
  );
});
