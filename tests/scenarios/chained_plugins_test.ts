import assert from "node:assert/strict";
import type { CommandResult } from "../../shared/testing/command.ts";
import { tryCommand } from "../../shared/testing/command.ts";
import { containerIdOf } from "../../shared/testing/node.ts";
import { ping, TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

/** Where Debian's package containernetworking-plugins puts the reference plugins. */
const PLUGINS = "/usr/lib/cni";

function there(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

const missing = ["portmap", "bandwidth"].filter((name) => !there(`${PLUGINS}/${name}`));

if (missing.length > 0) {
  Deno.test({
    name: `chained before ${missing.join(" and ")}: needs the package containernetworking-plugins`,
    ignore: true,
    fn() {},
  });
} else {
  scenario("chained before the reference plugins", {}, async ({ lab, node, step }) => {
    const netns = await lab.addNetns();
    const attachment = {
      containerId: containerIdOf("chained"),
      netnsPath: netns.path,
      podName: "web",
      podNamespace: "default",
    };
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];

    /** Runs a reference plugin as libcni would, in version 1.0.0: the newest that Debian 12's know. */
    const plugin = (name: string, command: string, config: object): Promise<CommandResult> =>
      tryCommand(["nsenter", `--net=${node.netns.path}`, "--", `${PLUGINS}/${name}`], {
        env: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: attachment.containerId,
          CNI_NETNS: attachment.netnsPath,
          CNI_IFNAME: "eth0",
          CNI_PATH: PLUGINS,
        },
        stdin: JSON.stringify({ cniVersion: "1.0.0", name: "novanet", type: name, ...config }),
      });
    const ingress = { ingressRate: 100_000_000, ingressBurst: 10_000_000 };
    const egress = { egressRate: 100_000_000, egressBurst: 10_000_000 };
    const chain: [name: string, config: object][] = [
      ["portmap", { capabilities: { portMappings: true }, runtimeConfig: { portMappings } }],
      ["bandwidth", { ...ingress, ...egress }],
    ];
    let result: { ips: { address: string }[] } | undefined;
    let ip = "";

    await step("ADD through the chain", async () => {
      const added = await node.cni("ADD", attachment, { cniVersion: "1.0.0" });
      assert.equal(added.code, 0, added.stdout);
      let prevResult = JSON.parse(added.stdout);
      ip = prevResult.ips[0].address.split("/")[0];
      for (const [name, config] of chain) {
        const { code, stdout, stderr } = await plugin(name, "ADD", { ...config, prevResult });
        assert.equal(code, 0, `${name}: ${stdout}${stderr}`);
        prevResult = JSON.parse(stdout);
      }
      assert.equal(prevResult.ips[0].address, `${ip}/24`);
      result = prevResult;
    });

    await step("a connection to the node's port ends in the pod", async () => {
      await using server = new TcpEchoServer(netns, 80);
      const to = { ip: node.addresses.node, port: 8080 };
      using client = await TcpClient.connect(node.outside, to);
      assert.equal(await client.exchange("through portmap"), "through portmap");
      assert.equal(server.connections, 1);
      await ping(netns, node.addresses.outside);
    });

    await step("CHECK accepts what the later plugins added to the result", async () => {
      const config = { cniVersion: "1.0.0", prevResult: result };
      assert.deepEqual(await node.cni("CHECK", attachment, config), {
        code: 0,
        stdout: "",
        stderr: "",
      });
    });

    await step("a result from before is kept, and ours added to it", async () => {
      const other = { containerId: containerIdOf("later"), netnsPath: (await lab.addNetns()).path };
      const before = {
        cniVersion: "1.0.0",
        interfaces: [{ name: "other0", mac: "02:00:00:00:00:09" }],
        ips: [],
        dns: { nameservers: ["192.0.2.53"] },
      };
      const added = await node.cni("ADD", { ...other, podName: "later", podNamespace: "default" }, {
        cniVersion: "1.0.0",
        prevResult: before,
      });
      assert.equal(added.code, 0, added.stdout);
      const merged = JSON.parse(added.stdout);
      assert.deepEqual(merged.interfaces[0], before.interfaces[0]);
      assert.equal(merged.interfaces[merged.ips[0].interface].name, "eth0");
      assert.deepEqual(merged.dns, before.dns);
      assert.equal((await node.cni("DEL", other)).code, 0);
    });

    await step("DEL through the chain, in reverse", async () => {
      for (const [name, config] of chain.toReversed()) {
        const { code, stdout } = await plugin(name, "DEL", { ...config, prevResult: result });
        assert.equal(code, 0, `${name}: ${stdout}`);
      }
      assert.equal((await node.cni("DEL", attachment, { cniVersion: "1.0.0" })).code, 0);
      using links = node.netns.rtnetlink();
      assert.deepEqual(
        links.linkList().map(({ name }) => name).filter((name) => !["lo", "uplink"].includes(name)),
        [],
      );
    });
  });
}
