import assert from "node:assert/strict";
import { Cidr } from "../../shared/net/mod.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { AF_NETLINK, bind, netnsSocket, recv, sendto, SOCK_RAW } from "../../shared/ffi/sys.ts";
import { attr, encodeAttributes } from "../../shared/netlink/attribute.ts";
import { MessageFlag } from "../../shared/netlink/constants.ts";
import { encodeMessage } from "../../shared/netlink/message.ts";
import { openNetns } from "../../shared/netns/mod.ts";
import { forwardDropChains } from "./forward_policy.ts";
import { networkManagerInterferes } from "./network_manager.ts";
import { detectNodeIp, readHostNetwork } from "./node_facts.ts";
import { hostWarnings, nodeWarnings } from "./warnings.ts";

const NF_INET_LOCAL_IN = 1;
const NF_INET_FORWARD = 2;
const NF_DROP = 0;
const NF_ACCEPT = 1;

/** Makes a table (family ip) and a filter chain in it, as `nft` would: one nfnetlink batch. */
function addNftChain(netns: string, table: string, chain: string, hook: number, policy: number) {
  const be32 = (value: number) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value);
    return bytes;
  };
  const message = (type: number, flags: number, header: number[], attributes: Uint8Array) =>
    encodeMessage({
      type,
      flags: MessageFlag.REQUEST | flags,
      seq: 1,
      pid: 0,
      payload: Uint8Array.from([...header, ...attributes]),
    });
  const [batch, ip, none] = [[0, 0, 0, 10], [2, 0, 0, 0], new Uint8Array()];
  const tableSpec = encodeAttributes([attr.string(1, table)]);
  const chainSpec = encodeAttributes([
    attr.string(1, table),
    attr.string(3, chain),
    attr.nested(4, [attr.bytes(1, be32(hook)), attr.bytes(2, be32(0))]),
    attr.bytes(5, be32(policy)),
    attr.string(7, "filter"),
  ]);
  const messages = [
    message(16, 0, batch, none),
    message(0x0a00, MessageFlag.CREATE, ip, tableSpec),
    message(0x0a03, MessageFlag.CREATE | MessageFlag.ACK, ip, chainSpec),
    message(17, 0, batch, none),
  ];
  using ns = openNetns(netns);
  using fd = netnsSocket(ns.fd, AF_NETLINK, SOCK_RAW, 12);
  const address = new Uint8Array(12);
  address[0] = AF_NETLINK;
  bind(fd.fd, address);
  sendto(fd.fd, Uint8Array.from(messages.flatMap((bytes) => [...bytes])));
  const answer = new Uint8Array(4096);
  recv(fd.fd, answer);
  assert.equal(new DataView(answer.buffer).getInt32(16, true), 0);
}

function warningsOf(host: LabNetns): string[] {
  using socket = host.rtnetlink();
  return hostWarnings(readHostNetwork(socket), host.path);
}

Deno.test("an uplink that does not forward is named, until it does", async () => {
  await using lab = new NetnsLab();
  const [host, other] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: host, name: "up0" }, { netns: other, name: "up0" });
  assert.deepEqual(warningsOf(host), []);
  await host.run(["ip", "address", "add", "192.0.2.9/24", "dev", "up0"]);
  await host.run(["ip", "route", "add", "default", "via", "192.0.2.1"]);
  await host.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]);
  assert.match(warningsOf(host).join(), /forwarding is off on up0/);
  await host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
  assert.deepEqual(warningsOf(host), []);
});

Deno.test("a node that has only its loopback address is told so", async () => {
  await using lab = new NetnsLab();
  const host = await lab.addNetns();
  const podCidr = Cidr.parse("10.244.0.0/24");
  const warnings = () => {
    using socket = host.rtnetlink();
    const nodeIp = detectNodeIp(readHostNetwork(socket));
    return nodeWarnings({ nodeIp, podCidr }, { outside: 0 });
  };
  assert.deepEqual(warnings(), [
    "node_ip is a loopback address: the node cannot reach its pods; set --node-ip",
  ]);
  await host.run(["ip", "address", "add", "192.0.2.9/32", "dev", "lo"]);
  assert.deepEqual(warnings(), []);
});

Deno.test("chains that drop what is forwarded are found, others are not", async () => {
  await using lab = new NetnsLab();
  const host = await lab.addNetns();
  assert.deepEqual(forwardDropChains(host.path), []);
  addNftChain(host.path, "nat", "PASS", NF_INET_FORWARD, NF_ACCEPT);
  addNftChain(host.path, "filter", "INPUT", NF_INET_LOCAL_IN, NF_DROP);
  assert.deepEqual(forwardDropChains(host.path), []);
  addNftChain(host.path, "filter", "FORWARD", NF_INET_FORWARD, NF_DROP);
  assert.deepEqual(forwardDropChains(host.path), ["ip filter FORWARD"]);
  assert.match(warningsOf(host).join(), /ip filter FORWARD drops/);
});

const NM = "etc/NetworkManager/conf.d/novanet.conf";
const CASES: [what: string, files: Record<string, string>, interferes: boolean][] = [
  ["is not there", {}, false],
  ["runs", { "proc/7/comm": "NetworkManager\n" }, true],
  ["is only installed", { "etc/NetworkManager/NetworkManager.conf": "[main]\n" }, false],
  ["was told", {
    "proc/7/comm": "NetworkManager\n",
    [NM]: "[keyfile]\nunmanaged-devices=interface-name:docker0;interface-name:nv*\n",
  }, false],
  ["was told something else", {
    "proc/7/comm": "NetworkManager\n",
    [NM]: "[keyfile]\nunmanaged-devices=interface-name:docker0\n",
  }, true],
];
for (const [what, files, interferes] of CASES) {
  Deno.test(`NetworkManager ${what}`, () => {
    const root = Deno.makeTempDirSync({ prefix: "nvt-nm-" });
    try {
      for (const [path, text] of Object.entries(files)) {
        Deno.mkdirSync(`${root}/${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
        Deno.writeTextFileSync(`${root}/${path}`, text);
      }
      assert.equal(networkManagerInterferes(root), interferes);
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  });
}
