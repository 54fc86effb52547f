import assert from "node:assert/strict";
import { Ipv4 } from "./ipv4.ts";
import { Mac } from "./mac.ts";
import { NetParseError } from "./net_parse_error.ts";

Deno.test("Mac reads both cases and writes lower case", () => {
  assert.equal(Mac.parse("02:FE:0a:00:00:fF").toString(), "02:fe:0a:00:00:ff");
  assert.deepEqual(Mac.parse("02:fe:0a:00:00:ff").bytes, Uint8Array.of(2, 0xfe, 10, 0, 0, 0xff));
  assert.equal(JSON.stringify(Mac.ZERO), '"00:00:00:00:00:00"');
});

for (
  const text of [
    "",
    "02:fe:0a:00:00",
    "02:fe:0a:00:00:01:02",
    "2:fe:a:0:0:1",
    "02-fe-0a-00-00-01",
    "02:fe:0a:00:00:0g",
    "02:fe:0a:00:00:01\n",
  ]
) {
  Deno.test(`Mac.parse refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => Mac.parse(text), NetParseError);
  });
}

Deno.test("Mac.forPod is 02:fe and the octets of the address", () => {
  assert.equal(Mac.forPod(Ipv4.parse("10.244.1.255")).toString(), "02:fe:0a:f4:01:ff");
});

Deno.test("Mac.fromBytes copies, and so does bytes", () => {
  const source = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const mac = Mac.fromBytes(source);
  source[0] = 9;
  mac.bytes[1] = 9;
  assert.equal(mac.toString(), "01:02:03:04:05:06");
  assert.throws(() => Mac.fromBytes(Uint8Array.of(1, 2)), NetParseError);
});

Deno.test("Mac tells groups from stations and compares by value", () => {
  assert(Mac.BROADCAST.isMulticast);
  assert(Mac.parse("01:00:5e:00:00:01").isMulticast);
  assert(!Mac.forPod(Ipv4.ANY).isMulticast);
  assert(Mac.parse("02:00:00:00:00:01").equals(Mac.parse("02:00:00:00:00:01")));
  assert(!Mac.ZERO.equals(Mac.BROADCAST));
});
