import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { ConfigKey, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { CommandResult } from "../../shared/testing/command.ts";
import { attachmentOf, hostIfName, type LabNode, type LabPod } from "../../shared/testing/node.ts";
import { TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { holdings } from "./holdings.ts";
import { scenario } from "./scenario.ts";

/** Codes of the CNI specification, and ours from 100 up. */
const UNKNOWN_CONTAINER = 3;
const UNEXPECTED_STATE = 102;

function cniError({ code, stdout }: CommandResult): { code: number; msg: string } {
  assert.notEqual(code, 0, stdout);
  return JSON.parse(stdout);
}

function check(node: LabNode, pod: LabPod): Promise<CommandResult> {
  return node.cni("CHECK", attachmentOf(pod), { prevResult: pod.result });
}

scenario("DEL, CHECK, GC and STATUS", {}, async ({ node, step }) => {
  // Connections of a pod that has left are collected in the rhythm of flow events.
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 500n } });
  const before = await holdings(node);

  await step("DEL leaves nothing, living connections included", async () => {
    const [web, client] = [await node.addPod("web"), await node.addPod("client")];
    await using server = new TcpEchoServer(web.netns);
    using living = await TcpClient.connect(client.netns, { ip: web.ip, port: server.port });
    using _outside = await TcpClient.connect(node.outside, { ip: web.ip, port: server.port });
    assert.equal(await living.exchange("hello"), "hello");
    for (const pod of [web, client]) {
      assert.deepEqual(await node.delPod(pod), { code: 0, stdout: "", stderr: "" });
    }
    await eventually(async () => {
      assert.deepEqual(await holdings(node), before);
      return true;
    }, { what: "a node as it was before" });
    using inside = web.netns.rtnetlink();
    assert.equal(inside.linkFind("eth0"), undefined);
  });

  await step("the same ADD again gives the same result", async () => {
    const web = await node.addPod("web");
    const again = await node.cni("ADD", attachmentOf(web));
    assert.equal(again.code, 0, again.stdout);
    assert.deepEqual(JSON.parse(again.stdout), web.result);
    assert.equal((await node.delPod(web)).code, 0);
  });

  await step(
    "ADD again after the interface was lost makes it anew, with the same address",
    async () => {
      const web = await node.addPod("web");
      await node.netns.run(["ip", "link", "delete", hostIfName(web)]);
      const again = await node.cni("ADD", attachmentOf(web));
      assert.deepEqual(JSON.parse(again.stdout), web.result);
      assert.deepEqual(await check(node, web), { code: 0, stdout: "", stderr: "" });
      await using server = new TcpEchoServer(web.netns);
      using client = await TcpClient.connect(node.netns, { ip: web.ip, port: server.port });
      assert.equal(await client.exchange("still here"), "still here");
      assert.equal((await node.delPod(web)).code, 0);
    },
  );

  await step("DEL succeeds for the unknown, twice, and when the namespace is gone", async () => {
    const unknown = { containerId: "0".repeat(64), netnsPath: "/run/netns/nobody" };
    assert.equal((await node.cni("DEL", unknown)).code, 0);
    assert.equal((await node.cni("DEL", { ...unknown, netnsPath: "" })).code, 0);
    const web = await node.addPod("web");
    await node.netns.run(["umount", web.netns.path]);
    for (let time = 0; time < 2; time++) assert.equal((await node.delPod(web)).code, 0);
    assert.deepEqual((await holdings(node)).links, before.links);
  });

  const damages: [what: string, damage: (pod: LabPod) => Promise<unknown>, names: RegExp][] = [
    [
      "the pod's default route is gone",
      (pod) => pod.netns.run(["ip", "route", "delete", "default"]),
      /default route/,
    ],
    [
      "the pod's address is gone",
      (pod) => pod.netns.run(["ip", "address", "flush", "dev", "eth0"]),
      /address/,
    ],
    [
      "the pod's gateway is another neighbour",
      (pod) =>
        pod.netns.run([
          ...["ip", "neighbour", "replace", "10.244.0.1", "lladdr", "02:00:00:00:00:01"],
          ...["dev", "eth0", "nud", "permanent"],
        ]),
      /neighbour|gateway/,
    ],
    [
      "the pod's interface is down",
      (pod) => pod.netns.run(["ip", "link", "set", "eth0", "down"]),
      /eth0/,
    ],
    [
      "the host's end is down",
      (pod) => node.netns.run(["ip", "link", "set", hostIfName(pod), "down"]),
      /down/,
    ],
    [
      "the host's route is gone",
      (pod) => node.netns.run(["ip", "route", "delete", `${pod.ip}/32`]),
      /route/,
    ],
    [
      "the pair is gone",
      (pod) => node.netns.run(["ip", "link", "delete", hostIfName(pod)]),
      /nv[0-9a-f]{11}/,
    ],
    [
      "the endpoint is gone",
      (pod) =>
        node.client(DataplaneControl, "dataplane.sock")
          .deleteEndpoint({ ip: Ipv4.parse(pod.ip).value }),
      /endpoint/,
    ],
    [
      "a program is gone",
      (pod) =>
        node.client(DataplaneControl, "dataplane.sock")
          .detachProgram({ interfaceName: hostIfName(pod), attachType: 0 }),
      /program|ingress/,
    ],
  ];
  for (const [what, damage, names] of damages) {
    await step(`CHECK: ${what}; the same ADD repairs it`, async () => {
      const pod = await node.addPod("web");
      assert.deepEqual(await check(node, pod), { code: 0, stdout: "", stderr: "" });
      await damage(pod);
      const error = cniError(await check(node, pod));
      assert.equal(error.code, UNEXPECTED_STATE);
      assert.match(error.msg, names);
      assert.equal((await node.cni("ADD", attachmentOf(pod))).code, 0);
      assert.deepEqual(await check(node, pod), { code: 0, stdout: "", stderr: "" });
      assert.equal((await node.delPod(pod)).code, 0);
    });
  }

  await step("CHECK compares with what the runtime was told", async () => {
    const pod = await node.addPod("web");
    const prevResult = {
      ...pod.result,
      ips: [{ address: "10.244.0.77/24", gateway: "10.244.0.1", interface: 0 }],
    };
    const error = cniError(await node.cni("CHECK", attachmentOf(pod), { prevResult }));
    assert.equal(error.code, UNEXPECTED_STATE);
    assert.match(error.msg, /10\.244\.0\.77/);
    assert.equal((await node.delPod(pod)).code, 0);
    assert.equal(cniError(await check(node, pod)).code, UNKNOWN_CONTAINER);
  });

  await step("GC frees what is not listed, and nothing else", async () => {
    const [kept, other] = [await node.addPod("kept"), await node.addPod("other")];
    const gc = (...pods: LabPod[]) =>
      node.cni("GC", { containerId: "", netnsPath: "" }, {
        "cni.dev/valid-attachments": pods.map(({ containerId }) => ({
          containerID: containerId,
          ifname: "eth0",
        })),
      });
    assert.equal((await gc(kept, other)).code, 0);
    const listed = async () =>
      (await node.client(AgentExt, "novanet.sock").listPods({})).pods.map(({ name }) => name);
    assert.deepEqual(await listed(), ["kept", "other"]);
    assert.equal((await gc(kept)).code, 0);
    assert.deepEqual(await listed(), ["kept"]);
    assert.equal((await check(node, kept)).code, 0);
    assert.equal((await gc()).code, 0);
    await eventually(async () => {
      assert.deepEqual(await holdings(node), before);
      return true;
    });
  });

  await step(
    "STATUS fails while the dataplane is away, and works again when it is back",
    async () => {
      const status = () => node.cni("STATUS", { containerId: "", netnsPath: "" });
      assert.deepEqual(await status(), { code: 0, stdout: "", stderr: "" });
      await node.dataplane.kill();
      await eventually(async () => {
        const error = cniError(await status());
        assert.equal(error.code, 50);
        assert.match(JSON.stringify(error), /dataplane/);
        return true;
      });
      await node.startDataplane();
      await eventually(async () => (await status()).code === 0);
    },
  );
});
