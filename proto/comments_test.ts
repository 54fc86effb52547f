import assert from "node:assert/strict";
import { commentOf, describedOf, nameOf, readProtos } from "../tools/proto_image.ts";

const files = await readProtos();

for (const file of files) {
  Deno.test(`${file.name}.proto: everything has a comment that is a sentence`, () => {
    const described = describedOf(file);
    assert(described.length > 0);
    const bad = described.filter((one) => !/^\S[^]{6,}[.:]$/.test(commentOf(one)));
    assert.deepEqual(bad.map((one) => `${nameOf(one)}: ${commentOf(one)}`), []);
  });
}

Deno.test("RPCs and messages are described under their own name", () => {
  const wrong = files.flatMap(describedOf)
    .filter((one) => one.kind === "rpc" || one.kind === "message" || one.kind === "enum")
    .filter((one) => !commentOf(one).startsWith(`${one.name} `));
  assert.deepEqual(wrong.map(nameOf), []);
});
