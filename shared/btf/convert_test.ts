import assert from "node:assert/strict";
import { ConversionError, converter } from "./convert.ts";
import { type Shape, shapeText } from "./shape.ts";

const number = (size: 1 | 2 | 4 | 8, signed = false): Shape => ({ kind: "number", size, signed });
const list = (element: Shape, count: number): Shape => ({
  kind: "list",
  size: element.size * count,
  element,
  count,
});
const struct = (size: number, members: Record<string, [offset: number, shape: Shape]>): Shape => ({
  kind: "struct",
  size,
  members: Object.entries(members).map(([name, [offset, shape]]) => ({ name, offset, shape })),
});

function run(from: Shape, to: Shape, bytes: number[], omit?: string[]): number[] {
  const out = new Uint8Array(to.size);
  const convert = converter(from, to, { omit: new Set(omit) });
  convert(new DataView(new Uint8Array(bytes).buffer), 0, new DataView(out.buffer), 0);
  return [...out];
}

const pair = struct(6, { a: [0, number(4)], b: [4, number(2)] });

const CASES: [name: string, from: Shape, to: Shape, bytes: number[], expected: number[]][] = [
  ["the same", pair, pair, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]],
  ["members move", pair, struct(6, { b: [0, number(2)], a: [2, number(4)] }), [1, 2, 3, 4, 5, 6], [
    5,
    6,
    1,
    2,
    3,
    4,
  ]],
  ["a member comes", pair, struct(8, { a: [0, number(4)], c: [4, number(2)], b: [6, number(2)] }), [
    1,
    2,
    3,
    4,
    5,
    6,
  ], [1, 2, 3, 4, 0, 0, 5, 6]],
  ["a member goes", pair, struct(2, { b: [0, number(2)] }), [1, 2, 3, 4, 5, 6], [5, 6]],
  ["unsigned grows", number(2), number(4), [0xff, 0xfe], [0xff, 0xfe, 0, 0]],
  ["unsigned into larger signed", number(1), number(2, true), [0xff], [0xff, 0]],
  ["signed grows", number(1, true), number(4, true), [0xfe], [0xfe, 0xff, 0xff, 0xff]],
  ["four bytes to eight", number(4), number(8), [1, 2, 3, 0xff], [1, 2, 3, 0xff, 0, 0, 0, 0]],
  ["a list grows both ways", list(number(1), 2), list(number(2), 3), [7, 8], [7, 0, 8, 0, 0, 0]],
  [
    "inside of lists of structs",
    list(struct(2, { x: [0, number(1)], y: [1, number(1)] }), 2),
    list(struct(2, { y: [0, number(1)], x: [1, number(1)] }), 2),
    [1, 2, 3, 4],
    [2, 1, 4, 3],
  ],
];

for (const [name, from, to, bytes, expected] of CASES) {
  Deno.test(`conversion: ${name}`, () => assert.deepEqual(run(from, to, bytes), expected));
}

Deno.test("conversion: what is to be left out is", () => {
  assert.deepEqual(run(pair, pair, [1, 2, 3, 4, 5, 6], ["a"]), [0, 0, 0, 0, 5, 6]);
});

const REFUSED: [name: string, from: Shape, to: Shape, member: string, isKey?: boolean][] = [
  ["a number shrinks", pair, struct(4, { a: [0, number(2)], b: [2, number(2)] }), "a"],
  ["signed into unsigned", number(2, true), number(4), ""],
  ["unsigned into signed of its size", number(2), number(2, true), ""],
  ["a list gets shorter", list(number(1), 4), list(number(1), 3), ""],
  ["a number becomes a list", pair, struct(8, { a: [0, list(number(1), 4)] }), "a"],
  [
    "in a struct within",
    struct(4, { s: [0, struct(4, { x: [0, number(4)] })] }),
    struct(2, {
      s: [0, struct(2, { x: [0, number(2)] })],
    }),
    "s.x",
  ],
  ["a key loses a member", pair, struct(4, { a: [0, number(4)] }), "b", true],
];

for (const [name, from, to, member, isKey = false] of REFUSED) {
  Deno.test(`conversion refused: ${name}`, () => {
    assert.throws(
      () => converter(from, to, { isKey }),
      (error) => error instanceof ConversionError && error.member === member,
    );
  });
}

Deno.test("the text of a shape tells all of it", () => {
  assert.equal(
    shapeText(struct(12, { a: [0, number(4)], b: [4, list(number(2, true), 4)] })),
    "{12 a@0:u32 b@4:i16[4]}",
  );
});
