import assert from "node:assert/strict";
import { toJson, withoutZeros } from "./json.ts";
import { dropReasonLabel, labelsLabel, portLabel, protocolLabel, tcpFlagsLabel } from "./labels.ts";
import { tar } from "./tar.ts";
import { clock, rfc3339 } from "./time.ts";

Deno.test("JSON keeps all digits of a bigint", () => {
  const value = { a: 18446744073709551615n, b: [1, "x", null, true], c: {}, d: [], e: { f: 1 } };
  const text = '{"a":18446744073709551615,"b":[1,"x",null,true],"c":{},"d":[],"e":{"f":1}}';
  assert.equal(toJson(value), text);
  const plain = { ...value, a: 7 };
  assert.equal(toJson(plain, 2), JSON.stringify(plain, undefined, 2));
});

Deno.test("zeros are false, 0, empty and null", () => {
  const value = { a: 0, b: false, c: "", d: [], e: {}, f: null, g: 0n, h: 1, i: "x", j: [0] };
  assert.deepEqual(withoutZeros(value), { h: 1, i: "x", j: [0] });
});

Deno.test("times are UTC", () => {
  assert.equal(rfc3339(1_795_248_550_000_000_001n), "2026-11-21T08:09:10.000000001Z");
  assert.equal(rfc3339(0n), "1970-01-01T00:00:00.000000000Z");
  assert.equal(rfc3339(-1n), "1969-12-31T23:59:59.999999999Z");
  assert.equal(clock(1_795_248_550_999_999_999n), "08:09:10.999");
});

Deno.test("labels of section 8", () => {
  const protocols = [0, 1, 6, 17, 132, 47].map(protocolLabel);
  assert.deepEqual(protocols, ["*", "ICMP", "TCP", "UDP", "SCTP", "47"]);
  const reasons = [0, 1, 2, 3, 4, 5, 6, 64, 81, 200].map(dropReasonLabel);
  assert.deepEqual(reasons, [
    ...["-", "POLICY_DENIED", "NO_IDENTITY", "NO_ROUTE", "NO_TUNNEL", "TTL_EXCEEDED"],
    ...["RATE_LIMITED", "UNSUPPORTED_ETHERTYPE", "INVALID_DESTINATION", "UNKNOWN(200)"],
  ]);
  assert.deepEqual([0, 0x02, 0x12, 0x11].map(tcpFlagsLabel), ["-", "SYN", "SYN,ACK", "FIN,ACK"]);
  assert.equal(labelsLabel({ b: "2", a: "1" }), "a=1,b=2");
});

const PORTS = [[0, 0, "*"], [80, 0, "80"], [80, 16, "80"], [8080, 13, "8080-8087"], [
  0,
  1,
  "0-32767",
]];

for (const [port, prefixLen, text] of PORTS) {
  Deno.test(`port ${port} with ${prefixLen} leading bits is ${text}`, () => {
    assert.equal(portLabel(Number(port), Number(prefixLen)), text);
  });
}

Deno.test("long names are split, longer ones refused, and GNU tar reads them", async () => {
  const name = `${"folder/".repeat(15)}${"f".repeat(90)}`;
  const archive = tar([{ name, data: new Uint8Array(513) }], new Date(0));
  const child = new Deno.Command("tar", { args: ["-tvf", "-"], stdin: "piped", stdout: "piped" })
    .spawn();
  await archive.stream().pipeTo(child.stdin);
  const { stdout, success } = await child.output();
  const line = new TextDecoder().decode(stdout);
  assert.ok(success);
  assert.match(line, /^-rw------- root\/root\s+513 /);
  assert.ok(line.includes(name));
  assert.throws(
    () => tar([{ name: "f".repeat(101), data: new Uint8Array() }], new Date(0)),
    RangeError,
  );
});
