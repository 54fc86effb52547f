import assert from "node:assert/strict";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { attachmentOf, containerIdOf, type LabNode } from "../../shared/testing/node.ts";
import { udp } from "../../shared/testing/packets.ts";
import {
  PacketReceiver,
  sendPacket,
  TcpClient,
  TcpEchoServer,
} from "../../shared/testing/sockets.ts";
import { FlowLog } from "./flow_log.ts";
import { scenario } from "./scenario.ts";

const POD_IP = "10.244.0.77";
const BURST = 20;

const policy = (spec: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec: { ${spec} }
`;

/** Sends datagrams again and again, also while nothing can be sent, until a promise is settled. */
async function flood(
  from: LabNetns,
  way: { src: string; dst: string },
  until: Promise<unknown>,
): Promise<number> {
  let done = false;
  let sent = 0;
  until.finally(() => done = true).catch(() => {});
  const payload = udp({ srcPort: 5000, dstPort: 5001 }, "flood");
  while (!done) {
    for (let count = 0; count < BURST; count++) sent += trySend(from, way, payload);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  for (let count = 0; count < BURST; count++) sent += trySend(from, way, payload);
  return sent;
}

/** @returns 1, or 0 before there is an address, a route or an interface that is up. */
function trySend(...args: Parameters<typeof sendPacket>): number {
  try {
    sendPacket(...args);
    return 1;
  } catch {
    return 0;
  }
}

function fromFlood(receiver: PacketReceiver): number {
  return receiver.take().filter(({ payload }) => payload.length === 8 + "flood".length).length;
}

/** Adds a pod with a known address while a flood goes on. @returns what arrived and what was sent */
async function addUnderFlood(
  node: LabNode,
  netns: LabNetns,
  flooding: { from: LabNetns; to: LabNetns; way: { src: string; dst: string } },
): Promise<{ sent: number; arrived: number }> {
  using receiver = new PacketReceiver(flooding.to, IpProtocol.UDP);
  const added = node.cni("ADD", {
    containerId: containerIdOf(netns.name),
    netnsPath: netns.path,
    podName: "new",
    podNamespace: "shop",
    args: `IP=${POD_IP}`,
  });
  const sent = await flood(flooding.from, flooding.way, added);
  const { code, stdout } = await added;
  assert.equal(code, 0, stdout);
  return { sent, arrived: fromFlood(receiver) };
}

scenario("a pod is closed until its policy is in force", {}, async ({ lab, node, step }) => {
  const other = await node.addPod("other", { namespace: "shop" });
  const floods = async () => {
    const netns = await lab.addNetns();
    return {
      netns,
      out: { from: netns, to: other.netns, way: { src: POD_IP, dst: other.ip } },
      in: { from: other.netns, to: netns, way: { src: other.ip, dst: POD_IP } },
    };
  };
  const del = async (netns: LabNetns) => {
    const attachment = { containerId: containerIdOf(netns.name), netnsPath: netns.path };
    assert.equal((await node.cni("DEL", attachment)).code, 0);
  };

  await step("without a policy both floods get through in the end", async () => {
    for (const direction of ["out", "in"] as const) {
      const all = await floods();
      const { sent, arrived } = await addUnderFlood(node, all.netns, all[direction]);
      assert(sent > 0 && arrived > 0, `${direction}: ${arrived} of ${sent}`);
      await del(all.netns);
    }
  });

  await node.writeManifest(
    "policy.yaml",
    policy("podSelector: {}, policyTypes: [Ingress, Egress]"),
  );
  for (const direction of ["out", "in"] as const) {
    await step(`under deny-all not one packet gets ${direction}`, async () => {
      for (let round = 0; round < 5; round++) {
        const all = await floods();
        const { sent, arrived } = await addUnderFlood(node, all.netns, all[direction]);
        assert(sent > 0);
        assert.equal(arrived, 0, `round ${round}: ${arrived} of ${sent} arrived`);
        await del(all.netns);
      }
    });
  }

  await step("what came too early is counted with its reason", async () => {
    const { dropCounters } = await node.client(DataplaneControl, "dataplane.sock")
      .getDataplaneStatus({});
    assert((dropCounters[DropReason.POLICY_DENIED] ?? 0n) > 0n);
  });
});

const DEFAULT_DENY = { config: { policy: { default_deny: true } } };

scenario("policy.default_deny: who has no policy is isolated", DEFAULT_DENY, async (
  { lab, node, step },
) => {
  const [web, client] = [
    await node.addPod("web", { namespace: "shop", labels: { app: "web" } }),
    await node.addPod("client", { namespace: "shop", labels: { app: "client" } }),
  ];
  const server = lab.own(new TcpEchoServer(web.netns));
  const to = { ip: web.ip, port: server.port };

  await step("pods drop each other's packets, and the drop names the default", async () => {
    // A repeated drop would be told with the next ones only.
    let dstPort = 0;
    const provoke = () =>
      sendPacket(
        client.netns,
        { src: client.ip, dst: web.ip },
        udp({ srcPort: 1, dstPort: ++dstPort }),
      );
    await using flows = await FlowLog.open(node, provoke);
    const [drop] = flows.events;
    assert.deepEqual([drop?.rule, drop?.ruleId], ["default-deny", 1]);
    assert.deepEqual([drop?.srcPod, drop?.dstPod], ["client", "web"]);
  });

  await step("the node still reaches its pods", async () => {
    using connection = await TcpClient.connect(node.netns, to);
    assert.equal(await connection.exchange("probe"), "probe");
  });

  await step("policies of both ends open the way", async () => {
    await node.writeManifest(
      "policy.yaml",
      policy("podSelector: {}, ingress: [{}], egress: [{}]"),
    );
    // The connection's first packet may come too early; the kernel sends it again.
    using connection = await TcpClient.connect(client.netns, to, { timeoutMs: 5000 });
    assert.equal(await connection.exchange("allowed"), "allowed");
    assert.equal((await node.cni("CHECK", attachmentOf(web), { prevResult: web.result })).code, 0);
  });
});
