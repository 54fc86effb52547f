import assert from "node:assert/strict";
import { Ipv4 } from "./ipv4.ts";
import { NetParseError } from "./net_parse_error.ts";

const GOOD: [text: string, value: number][] = [
  ["0.0.0.0", 0],
  ["10.0.0.1", 167772161],
  ["127.0.0.1", 0x7f000001],
  ["128.0.0.0", 0x80000000],
  ["192.168.1.200", 0xc0a801c8],
  ["255.255.255.255", 0xffffffff],
];

for (const [text, value] of GOOD) {
  Deno.test(`Ipv4 ${text} is ${value}`, () => {
    assert.equal(Ipv4.parse(text).toU32(), value);
    assert.equal(Ipv4.fromU32(value).toString(), text);
    assert.equal(Ipv4.fromBytes(Ipv4.fromU32(value).toBytes()).toString(), text);
  });
}

const BAD = [
  "",
  "...",
  "1.2.3",
  "1.2.3.",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.4 ",
  " 1.2.3.4",
  "1.2.3.-4",
  "1.2.3.+4",
  "0x1.2.3.4",
  "1.2.3.4\n",
  "1e1.2.3.4",
  "::1",
  "1.2.3.1000",
  "١.2.3.4",
];

for (const text of BAD) {
  Deno.test(`Ipv4.parse refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => Ipv4.parse(text, { field: "node_ip" }), (error) => {
      assert(error instanceof NetParseError);
      assert.equal(error.field, "node_ip");
      assert.equal(error.text, text);
      assert.match(error.message, /^node_ip: Cannot parse IPv4 address "/);
      return true;
    });
  });
}

for (const value of [-1, 2 ** 32, 1.5, NaN, Infinity]) {
  Deno.test(`Ipv4.fromU32 refuses ${value}`, () => {
    assert.throws(() => Ipv4.fromU32(value), NetParseError);
  });
}

Deno.test("Ipv4.fromBytes reads a view that is not at the start of its buffer", () => {
  const bytes = Uint8Array.of(9, 9, 10, 1, 2, 3, 9).subarray(2, 6);
  assert.equal(Ipv4.fromBytes(bytes).toString(), "10.1.2.3");
  assert.throws(() => Ipv4.fromBytes(Uint8Array.of(1, 2, 3)), NetParseError);
});

Deno.test("Ipv4 compares as unsigned and prints in JSON as text", () => {
  const sorted = ["200.0.0.1", "9.0.0.0", "10.0.0.0"].map((text) => Ipv4.parse(text));
  assert.equal(sorted.sort(Ipv4.compare).join(), "9.0.0.0,10.0.0.0,200.0.0.1");
  assert.equal(JSON.stringify({ ip: Ipv4.parse("1.2.3.4") }), '{"ip":"1.2.3.4"}');
  assert(Ipv4.parse("1.2.3.4").equals(Ipv4.fromU32(0x01020304)));
  assert(!Ipv4.parse("1.2.3.4").equals(Ipv4.ANY));
});
