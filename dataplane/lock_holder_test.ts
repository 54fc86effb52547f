import assert from "node:assert/strict";
import { findHolder } from "./lock_holder.ts";

const FDINFO = "pos:\t0\nflags:\t0100000\nmnt_id:\t41\nino:\t5678\n";
const MOUNTINFO = "40 1 254:17 / / rw - ext4 /dev/vda rw\n41 40 0:31 / /run rw - tmpfs tmpfs rw\n";

const CASES: readonly [name: string, locks: string, holder: number | undefined][] = [
  ["a lock of the file", "1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF\n", 1234],
  [
    "one after others",
    "1: POSIX  ADVISORY  WRITE 7 00:1f:5678 0 EOF\n2: FLOCK  ADVISORY  WRITE 9 00:1f:5678 0 EOF\n",
    9,
  ],
  ["another file", "1: FLOCK  ADVISORY  WRITE 1234 00:1f:5679 0 EOF\n", undefined],
  ["another device", "1: FLOCK  ADVISORY  WRITE 1234 fe:11:5678 0 EOF\n", undefined],
  ["a process of elsewhere", "1: FLOCK  ADVISORY  WRITE 0 00:1f:5678 0 EOF\n", undefined],
  ["none", "", undefined],
];

for (const [name, locks, holder] of CASES) {
  Deno.test(`the holder in /proc/locks: ${name}`, () => {
    assert.equal(findHolder({ fdinfo: FDINFO, mountinfo: MOUNTINFO, locks }), holder);
  });
}

Deno.test("a device with more than one byte of numbers", () => {
  const mountinfo = "41 40 254:17 / /run rw - ext4 /dev/vdb rw\n";
  const locks = "1: FLOCK  ADVISORY  WRITE 1234 fe:11:5678 0 EOF\n";
  assert.equal(findHolder({ fdinfo: FDINFO, mountinfo, locks }), 1234);
});
