import assert from "node:assert/strict";
import { cString, exactly, fromCString, lend } from "./memory.ts";

for (const text of ["", "lo", "ü"]) {
  Deno.test(`${JSON.stringify(text)} survives the way to C and back`, () => {
    const bytes = cString(text);
    assert.equal(bytes.at(-1), 0);
    assert.equal(fromCString(bytes), text);
  });
}

Deno.test("a NUL inside a text is refused: C would see another text", () => {
  assert.throws(() => cString("/run/a\0b"), TypeError);
});

Deno.test("a field without a NUL is text to its end", () => {
  assert.equal(fromCString(new Uint8Array([0x61, 0x62])), "ab");
});

Deno.test("bytes of another size than the kernel's are refused", () => {
  const bytes = new Uint8Array(4);
  assert.equal(exactly("key", bytes, 4), bytes);
  assert.throws(() => exactly("key", bytes, 8), /key has 4 bytes where 8 are needed/);
});

Deno.test("shared memory is not lent", () => {
  assert.throws(() => lend(new Uint8Array(new SharedArrayBuffer(4))), TypeError);
});
