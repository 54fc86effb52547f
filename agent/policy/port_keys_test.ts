import assert from "node:assert/strict";
import {
  ALL_PORTS,
  mergeRanges,
  portKey,
  rangeKeys,
  unpackPortKey,
  widerKeys,
} from "./port_keys.ts";

const MERGED: [ranges: string, merged: string][] = [
  ["", ""],
  ["80-80", "80-80"],
  ["80-80 82-82", "80-80 82-82"],
  ["81-81 80-80", "80-81"],
  ["80-90 85-86 88-100", "80-100"],
  ["1-65535 80-80", "1-65535"],
  ["80-80 80-80", "80-80"],
];

for (const [ranges, merged] of MERGED) {
  Deno.test(`ranges ${ranges} are ${merged}`, () => {
    const parsed = ranges.split(" ").filter((text) => text !== "").map((text) => {
      const [from, to] = text.split("-").map(Number);
      return { from: from as number, to: to as number };
    });
    assert.equal(mergeRanges(parsed).map(({ from, to }) => `${from}-${to}`).join(" "), merged);
  });
}

Deno.test("a port key is unpacked to what it was made of, up to the largest values", () => {
  for (
    const [protocol, port, prefixLen] of [[255, 65535, 16], [6, 0x8000, 1], [0, 0, 0]] as const
  ) {
    assert.deepEqual(unpackPortKey(portKey(protocol, port, prefixLen)), {
      protocol,
      port,
      prefixLen,
    });
  }
});

Deno.test("wider keys are all those that hold a key's ports, and not itself", () => {
  const [key] = rangeKeys(6, 80, 80) as [number];
  const wider = widerKeys(key);
  assert.equal(wider.length, 17);
  assert(!wider.includes(key));
  for (const [from, to] of [[80, 81], [64, 127], [0, 65535]] as const) {
    assert(wider.includes(rangeKeys(6, from, to)[0] as number), `${from}-${to}`);
  }
  assert(wider.includes(ALL_PORTS));
  assert(!wider.includes(rangeKeys(6, 82, 83)[0] as number));
  assert.deepEqual(widerKeys(ALL_PORTS), []);
});
