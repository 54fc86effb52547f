import assert from "node:assert/strict";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { forwardDropChains } from "./forward_policy.ts";
import { networkManagerInterferes } from "./network_manager.ts";
import { readHostNetwork } from "./node_facts.ts";
import { hostWarnings } from "./warnings.ts";

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

Deno.test("chains that drop what is forwarded are found", async (test) => {
  await using lab = new NetnsLab();
  const host = await lab.addNetns();
  assert.deepEqual(forwardDropChains(host.path), []);
  const nft = await host.try(["sh", "-c", "command -v nft"]);
  await test.step({
    name: "nft [needs nft]",
    ignore: nft.code !== 0,
    fn: async () => {
      const chain = "{ type filter hook forward priority 0; policy drop; }";
      await host.run(["nft", "add", "table", "ip", "filter"]);
      await host.run(["nft", "add", "chain", "ip", "filter", "FORWARD", chain]);
      assert.deepEqual(forwardDropChains(host.path), ["ip filter FORWARD"]);
      assert.match(warningsOf(host).join(), /ip filter FORWARD drops/);
    },
  });
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
