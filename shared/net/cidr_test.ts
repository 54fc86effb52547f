import assert from "node:assert/strict";
import { Cidr } from "./cidr.ts";
import { Ipv4 } from "./ipv4.ts";
import { NetParseError } from "./net_parse_error.ts";

const GOOD: { text: string; first: string; last: string; size: number }[] = [
  { text: "0.0.0.0/0", first: "0.0.0.0", last: "255.255.255.255", size: 2 ** 32 },
  { text: "128.0.0.0/1", first: "128.0.0.0", last: "255.255.255.255", size: 2 ** 31 },
  { text: "10.0.0.0/8", first: "10.0.0.0", last: "10.255.255.255", size: 2 ** 24 },
  { text: "10.1.2.0/24", first: "10.1.2.0", last: "10.1.2.255", size: 256 },
  { text: "10.1.2.4/31", first: "10.1.2.4", last: "10.1.2.5", size: 2 },
  { text: "255.255.255.255/32", first: "255.255.255.255", last: "255.255.255.255", size: 1 },
];

for (const { text, first, last, size } of GOOD) {
  Deno.test(`Cidr ${text} goes from ${first} to ${last}`, () => {
    const cidr = Cidr.parse(text);
    assert.equal(cidr.first.toString(), first);
    assert.equal(cidr.last.toString(), last);
    assert.equal(cidr.size, size);
    assert.equal(cidr.toString(), text);
  });
}

const BAD: [text: string, why: RegExp][] = [
  ["10.0.0.0", /expected address\/prefix length/],
  ["10.0.0.0/", /prefix length ""/],
  ["10.0.0.0/33", /prefix length "33"/],
  ["10.0.0.0/08", /prefix length "08"/],
  ["10.0.0.0/-1", /prefix length "-1"/],
  ["10.0.0.0/8/8", /expected address\/prefix length/],
  ["10.0.0/8", /four octets/],
  ["10.0.0.256/32", /octet "256"/],
  ["10.0.0.1/24", /did you mean 10\.0\.0\.0\/24\?/],
  ["0.0.0.1/0", /did you mean 0\.0\.0\.0\/0\?/],
  ["", /expected address\/prefix length/],
];

for (const [text, why] of BAD) {
  Deno.test(`Cidr.parse refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => Cidr.parse(text, { field: "pod_cidr" }), (error) => {
      assert(error instanceof NetParseError);
      assert.equal(error.text, text);
      assert.match(error.why, why);
      assert.match(error.message, /^pod_cidr: Cannot parse CIDR "/);
      return true;
    });
  });
}

Deno.test("Cidr.parseHost keeps the address beside its subnet", () => {
  const { host, cidr } = Cidr.parseHost("10.1.2.7/24");
  assert.equal(host.toString(), "10.1.2.7");
  assert.equal(cidr.toString(), "10.1.2.0/24");
});

const CONTAINS: [outer: string, inner: string, contains: boolean, overlaps: boolean][] = [
  ["0.0.0.0/0", "255.0.0.0/8", true, true],
  ["10.0.0.0/8", "10.0.0.0/8", true, true],
  ["10.0.0.0/8", "10.255.255.255/32", true, true],
  ["10.0.0.0/8", "11.0.0.0/32", false, false],
  ["10.1.0.0/16", "10.0.0.0/8", false, true],
  ["192.0.0.0/2", "128.0.0.0/2", false, false],
];

for (const [outer, inner, contains, overlaps] of CONTAINS) {
  Deno.test(`Cidr ${outer} ${contains ? "contains" : "does not contain"} ${inner}`, () => {
    assert.equal(Cidr.parse(outer).contains(Cidr.parse(inner)), contains);
    assert.equal(Cidr.parse(outer).overlaps(Cidr.parse(inner)), overlaps);
  });
}

Deno.test("Cidr.contains looks at addresses with the top bit set", () => {
  assert(Cidr.parse("200.1.0.0/16").contains(Ipv4.parse("200.1.255.255")));
  assert(!Cidr.parse("200.1.0.0/16").contains(Ipv4.parse("200.2.0.0")));
});

for (const prefixLen of [-1, 33, 1.5, NaN]) {
  Deno.test(`Cidr.of refuses prefix length ${prefixLen}`, () => {
    assert.throws(() => Cidr.of(Ipv4.ANY, prefixLen), NetParseError);
  });
}

Deno.test("Cidr sorts by address, then the wider first", () => {
  const sorted = ["10.0.0.0/16", "10.0.0.0/8", "9.0.0.0/8"].map((text) => Cidr.parse(text));
  assert.equal(sorted.sort(Cidr.compare).join(), "9.0.0.0/8,10.0.0.0/8,10.0.0.0/16");
});
