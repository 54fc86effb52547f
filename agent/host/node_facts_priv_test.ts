import assert from "node:assert/strict";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { detectNodeIp, detectPodMtu, hostAddresses, readHostNetwork } from "./node_facts.ts";

const IP = ["ip"];
const CASES: [name: string, setup: string[], nodeIp: string, mtu: number, own: string[]][] = [
  ["an empty host", [], "127.0.0.1", 1450, []],
  ["an address but no default route", ["address add 192.0.2.9/24 dev up0"], "192.0.2.9", 1450, [
    "192.0.2.9",
  ]],
  [
    "a default route with a source",
    [
      "address add 192.0.2.9/24 dev up0",
      "address add 198.51.100.1/32 dev lo",
      "link set up0 mtu 9000",
      "route add default via 192.0.2.1 src 198.51.100.1",
    ],
    "198.51.100.1",
    8950,
    ["192.0.2.9", "198.51.100.1"],
  ],
  [
    "the default route's interface before others",
    [
      "address add 198.51.100.1/32 dev lo",
      "address add 192.0.2.9/24 dev up0",
      "route add default via 192.0.2.1 mtu 1400",
      "route add default dev lo metric 9",
    ],
    "192.0.2.9",
    1350,
    ["192.0.2.9", "198.51.100.1"],
  ],
  [
    "link-local addresses count last",
    ["address add 169.254.1.1/16 dev up0 scope link"],
    "127.0.0.1",
    1450,
    ["169.254.1.1"],
  ],
];
for (const [name, setup, nodeIp, mtu, own] of CASES) {
  Deno.test(`node address and MTU: ${name}`, async () => {
    await using lab = new NetnsLab();
    const [host, other] = [await lab.addNetns(), await lab.addNetns()];
    lab.addVeth({ netns: host, name: "up0" }, { netns: other, name: "up0" });
    for (const command of setup) await host.run([...IP, ...command.split(" ")]);
    using socket = host.rtnetlink();
    const network = readHostNetwork(socket);
    assert.equal(detectNodeIp(network).toString(), nodeIp);
    assert.equal(detectPodMtu(network), mtu);
    assert.deepEqual(hostAddresses(network).map(String), own);
  });
}
