import assert from "node:assert/strict";
import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { attachmentOf, containerIdOf, type LabNode } from "../../shared/testing/node.ts";
import { udp } from "../../shared/testing/packets.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { PacketReceiver, ping, sendPacket } from "../../shared/testing/sockets.ts";
import { assertConsistent } from "./holdings.ts";
import { scenario } from "./scenario.ts";

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
`;
const ROUNDS = 12;
/** Three ADDs at once are with the agent from about then to about then: kills fall into every part of them. */
const [FIRST_KILL_MS, LAST_KILL_MS] = [40, 240] as const;

scenario("policy is enforced while nobody is there", {}, async ({ node, step }) => {
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const [web, friend, stranger] = [await pod("web"), await pod("friend"), await pod("stranger")];
  await node.writeManifest("policy.yaml", POLICY);
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

  await step("while both run", enforced);
  await step("while both are down", async () => {
    for (const daemon of node.daemons) await daemon.kill();
    await enforced();
  });
  await step("while the dataplane starts, and with it alone", async () => {
    const dataplane = node.startDataplane();
    await enforced();
    await dataplane;
    await enforced();
    const { endpoints } = await node.client(DataplaneExt, "dataplane.sock").listEndpoints({});
    assert.deepEqual(
      endpoints.filter(({ ifindex }) => ifindex > 0)
        .map(({ namespace, podName }) => `${namespace}/${podName}`).sort(),
      ["shop/friend", "shop/stranger", "shop/web"],
      "the pods keep their names",
    );
  });
  await step("when the policy file went away in between, from the agent's start on", async () => {
    await node.removeManifest("policy.yaml");
    await enforced();
    await node.startAgent();
    await node.untilRules((rules) => rules.every((rule) => !rule.startsWith("shop/guard")));
    using receiver = new PacketReceiver(web.netns, IpProtocol.UDP);
    const payload = udp({ srcPort: ++srcPort, dstPort: 80 });
    sendPacket(stranger.netns, { src: stranger.ip, dst: web.ip }, payload);
    await eventually(() => receiver.take().length > 0);
  });
});

scenario("daemons are killed while pods are added", {}, async ({ lab, node, step }) => {
  const random = new SeededRandom(3);
  const attachments = await Promise.all(
    Array.from({ length: ROUNDS * 3 }, async (_, index) => ({
      containerId: containerIdOf(`killed ${index}`),
      netnsPath: (await lab.addNetns()).path,
      podName: `pod-${index}`,
      podNamespace: "default",
    })),
  );
  const stays = await node.addPod("stays");

  for (let round = 0; round < ROUNDS; round++) {
    const killAfterMs = FIRST_KILL_MS + random.below(LAST_KILL_MS - FIRST_KILL_MS);
    // The agent holds the state, so it is the victim more often.
    const victim = round % 3 === 2 ? "novanet-dataplane" : "novanet-agent";
    await step(`${victim} is killed ${killAfterMs} ms after three ADDs began`, async () => {
      const batch = attachments.slice(round * 3, round * 3 + 3);
      const began = performance.now();
      const adding = batch.map((attachment) => node.cni("ADD", attachment));
      await eventually(() => performance.now() - began >= killAfterMs, { intervalMs: 1 });
      if (victim === "novanet-agent") {
        await node.agent.kill();
        // The next one comes when all have noticed.
        await Promise.all(adding);
        await node.startAgent();
      } else {
        await node.dataplane.kill();
        await node.startDataplane();
      }
      const results = await Promise.all(adding);
      await ping(node.netns, stays.ip);
      await assertEventuallyConsistent(node);
      // Kubernetes tries again what failed, and may have given up on what it was not told of.
      for (const [index, { code }] of results.entries()) {
        const attachment = batch[index];
        assert(attachment);
        const command = code !== 0 && index === 0 ? "DEL" : "ADD";
        const again = await node.cni(command, attachment);
        assert.equal(again.code, 0, `${command}: ${again.stdout}`);
        if (command === "ADD") {
          await ping(node.netns, JSON.parse(again.stdout).ips[0].address.split("/")[0]);
        }
      }
      await assertEventuallyConsistent(node);
    });
  }

  await step("all can be deleted, and nothing is left", async () => {
    const dels = await Promise.all(
      [...attachments, attachmentOf(stays)].map((attachment) => node.cni("DEL", attachment)),
    );
    assert.deepEqual(dels.filter(({ code }) => code !== 0), []);
    await assertEventuallyConsistent(node);
    using links = node.netns.rtnetlink();
    assert.deepEqual(links.linkList().map(({ name }) => name), ["lo", "uplink"]);
  });
});

async function assertEventuallyConsistent(node: LabNode): Promise<void> {
  await eventually(async () => {
    await assertConsistent(node);
    return true;
  }, { what: "agent, kernel and dataplane of one mind", intervalMs: 20 });
}
