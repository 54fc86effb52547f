import assert from "node:assert/strict";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { udp } from "../../shared/testing/packets.ts";
import { PacketReceiver, ping, sendPacket } from "../../shared/testing/sockets.ts";
import { assertConsistent } from "./holdings.ts";
import { scenario } from "./scenario.ts";

const MANIFESTS = ["web", "friend", "stranger"].map((app) => `
apiVersion: v1
kind: Pod
metadata: { name: ${app}, namespace: shop, labels: { app: ${app} } }
---`).join("") + `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
`;

scenario("the agent's database is lost under running pods", {}, async ({ node, step }) => {
  await node.writeManifest("shop.yaml", MANIFESTS);
  const pod = (app: string) => node.addPod(app, { namespace: "shop" });
  const [web, friend, stranger] = [await pod("web"), await pod("friend"), await pod("stranger")];
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[default-deny]"));
  let srcPort = 1000;

  /** Sends what must be dropped, then what must arrive; the kernel keeps their order. */
  const enforced = async () => {
    using receiver = new PacketReceiver(web.netns, IpProtocol.UDP);
    for (const from of [stranger, friend]) {
      const payload = udp({ srcPort: ++srcPort, dstPort: 80 });
      sendPacket(from.netns, { src: from.ip, dst: web.ip }, payload);
    }
    const [first] = await eventually(() => {
      const packets = receiver.take();
      return packets.length > 0 ? packets : undefined;
    });
    assert.equal(first?.src, friend.ip);
  };

  await step("an agent starts with an empty state directory", async () => {
    await node.agent.kill();
    for (const { name } of Deno.readDirSync(`${node.dir}/state`)) {
      await Deno.remove(`${node.dir}/state/${name}`, { recursive: true });
    }
    await enforced();
    await node.startAgent();
  });
  await step("the pods are reached, and policy holds for them", async () => {
    await enforced();
    for (const { ip } of [web, friend, stranger]) await ping(node.netns, ip);
    await eventually(async () => {
      await assertConsistent(node);
      return true;
    });
    const status = await node.client(AgentControl, "novanet.sock").getAgentStatus({});
    assert.match(status.warnings.join(), /did not know 3 running pods/);
  });
  await step("their addresses are not given again, and DEL works by container id", async () => {
    const late = await pod("late");
    assert.ok(![web, friend, stranger].some(({ ip }) => ip === late.ip));
    for (const each of [web, friend, stranger, late]) {
      const { code, stdout } = await node.delPod(each);
      assert.equal(code, 0, stdout);
    }
    await assertConsistent(node);
    using links = node.netns.rtnetlink();
    assert.deepEqual(links.linkList().map(({ name }) => name), ["lo", "uplink"]);
    assert.deepEqual(
      (await node.client(AgentControl, "novanet.sock").getAgentStatus({})).warnings,
      [],
    );
  });
});
