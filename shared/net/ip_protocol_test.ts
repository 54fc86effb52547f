import assert from "node:assert/strict";
import { hasPorts, IpProtocol, ipProtocolName, ipProtocolNumber } from "./ip_protocol.ts";

const ROWS: [text: string, number: number | undefined][] = [
  ["TCP", 6],
  ["udp", 17],
  ["Sctp", 132],
  ["icmp", 1],
  ["0", 0],
  ["255", 255],
  ["256", undefined],
  ["", undefined],
  ["-1", undefined],
  ["any", undefined],
  ["toString", undefined],
];

for (const [text, number] of ROWS) {
  Deno.test(`protocol ${JSON.stringify(text)} is ${number}`, () => {
    assert.equal(ipProtocolNumber(text), number);
  });
}

Deno.test("every named protocol comes back from its name; others are numbers", () => {
  for (const [name, number] of Object.entries(IpProtocol)) {
    assert.equal(ipProtocolName(number), name);
    assert.equal(ipProtocolNumber(name), number);
  }
  assert.equal(ipProtocolName(200), "200");
});

Deno.test("TCP, UDP and SCTP have ports", () => {
  const withPorts = Array.from({ length: 256 }, (_, protocol) => protocol).filter(hasPorts);
  assert.deepEqual(withPorts, [6, 17, 132]);
});
