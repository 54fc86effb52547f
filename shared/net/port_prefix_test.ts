import assert from "node:assert/strict";
import { NetParseError } from "./net_parse_error.ts";
import { portRangeToPrefixes } from "./port_prefix.ts";

const RANGES: [from: number, to: number, prefixes: string][] = [
  [80, 80, "80/16"],
  [0, 65535, "0/0"],
  [0, 0, "0/16"],
  [65535, 65535, "65535/16"],
  [8080, 8081, "8080/15"],
  [8081, 8082, "8081/16 8082/16"],
  [1024, 65535, "1024/6 2048/5 4096/4 8192/3 16384/2 32768/1"],
  [30000, 32767, "30000/12 30016/10 30080/9 30208/7 30720/5"],
];

for (const [from, to, expected] of RANGES) {
  Deno.test(`ports ${from}-${to} are ${expected}`, () => {
    const prefixes = portRangeToPrefixes(from, to);
    assert.equal(prefixes.map((p) => `${p.port}/${p.prefixLen}`).join(" "), expected);
  });
}

Deno.test("prefixes cover every port of a range once and no other", () => {
  for (const [from, to] of [[1, 65534], [443, 8443], [7, 9]] as const) {
    let next = from;
    const prefixes = portRangeToPrefixes(from, to);
    for (const { port, prefixLen } of prefixes) {
      assert.equal(port, next);
      next = port + 2 ** (16 - prefixLen);
    }
    assert.equal(next, to + 1);
    assert(prefixes.length <= 30);
  }
});

for (const [from, to] of [[2, 1], [-1, 5], [0, 65536], [1.5, 2], [NaN, 2]] as const) {
  Deno.test(`ports ${from}-${to} are refused`, () => {
    assert.throws(() => portRangeToPrefixes(from, to, { field: "endPort" }), NetParseError);
  });
}
