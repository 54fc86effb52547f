import assert from "node:assert/strict";
import { NamedPortsError, namedPortsLabel, parseNamedPortsLabel } from "./named_ports.ts";
import type { NamedPort } from "./objects/types.ts";

const HTTP: NamedPort = { name: "http", protocol: 6, port: 8080 };
const DNS: NamedPort = { name: "dns", protocol: 17, port: 53 };
const SIG: NamedPort = { name: "dns", protocol: 132, port: 2905 };

Deno.test("the ports label is the same for the same ports and can be read back", () => {
  const label = "dns:sctp/2905,dns:udp/53,http:tcp/8080";
  assert.equal(namedPortsLabel([HTTP, DNS, SIG, DNS]), label);
  assert.equal(namedPortsLabel([SIG, HTTP, DNS]), label);
  assert.deepEqual(parseNamedPortsLabel(label), [SIG, DNS, HTTP]);
  assert.equal(namedPortsLabel([]), undefined);
});

for (
  const label of ["", "http", "http:tcp", "http:icmp/1", "http:tcp/0", "http:tcp/65536", "a:tcp/1,"]
) {
  Deno.test(`ports label refused: ${JSON.stringify(label)}`, () => {
    assert.throws(() => parseNamedPortsLabel(label), NamedPortsError);
  });
}
