/** Before a pod's policy is in the kernel, nothing passes its interface, in either direction. */
import assert from "node:assert/strict";
import { tcxSupported } from "../../shared/ffi/bpf.ts";
import {
  AttachType,
  DataplaneControl,
  DropReason,
  FlowEventType,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol, Ipv4, Mac } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { containerIdOf, hostIfName } from "../../shared/testing/node.ts";
import { ethernet, ipv4, udp } from "../../shared/testing/packets.ts";
import { ipv4Of, RawLink } from "../../shared/testing/raw_link.ts";
import { hooksOf, IN_THE_END } from "../scenarios/hooks.ts";
import { scenario } from "../scenarios/scenario.ts";
import { GATEWAY_MAC } from "./table.ts";

const EARLY_PODS = 4;
const SRC = "10.244.0.50";
const MAC = "02:fe:0a:f4:00:32";
const DENY_ALL = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: nobody, namespace: default }
spec: { podSelector: {}, policyTypes: [Ingress, Egress] }
`;

const hello = (src: string, mac: string, dst: string) =>
  ethernet(
    { src: mac, dst: GATEWAY_MAC },
    ipv4({ src, dst }, udp({ srcPort: 5, dstPort: 6 }, "early")),
  );

scenario("an interface that has programs and no endpoint", { idle: true }, async (world) => {
  const { lab, node, step } = world;
  await node.startDataplane();
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const netns = await lab.addNetns();
  // What the kernel says by itself drops too, and is not to be counted.
  for (const each of [netns, node.netns]) {
    await each.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    await each.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
  }
  lab.addVeth({ netns: node.netns, name: "nvtest", mac: Mac.parse(GATEWAY_MAC) }, {
    netns,
    name: "eth0",
    mac: Mac.parse(MAC),
  });
  await node.netns.run(["ip", "route", "add", `${SRC}/32`, "dev", "nvtest"]);
  await node.netns.run([
    "ip",
    "neigh",
    "add",
    SRC,
    "lladdr",
    MAC,
    "dev",
    "nvtest",
    "nud",
    "permanent",
  ]);
  for (const attachType of [AttachType.ATTACH_TC_INGRESS, AttachType.ATTACH_TC_EGRESS]) {
    await dataplane.attachProgram({ interfaceName: "nvtest", attachType });
  }
  using links = node.netns.rtnetlink();
  const { index: ifindex } = links.linkGet("nvtest");
  const drops = async (reason: DropReason) =>
    Number((await dataplane.getDataplaneStatus({})).dropCounters[reason] ?? 0n);
  const link = lab.own(new RawLink(netns, "eth0", ipv4Of(IpProtocol.UDP)));
  const atOutside = lab.own(new RawLink(node.outside, "node", ipv4Of(IpProtocol.UDP)));
  const stream = dataplane.streamFlows({})[Symbol.asyncIterator]();
  const toTheOutside = hello(SRC, MAC, node.addresses.outside);
  const fromTheNode = () =>
    node.netns.run(["socat", "-u", "-", `UDP-SENDTO:${SRC}:7`], { stdin: "early" });

  const closed = async (reason: keyof typeof DropReason) => {
    const before = await drops(DropReason[reason]);
    link.send(toTheOutside);
    await eventually(async () => await drops(DropReason[reason]) > before);
    const between = await drops(DropReason[reason]);
    await fromTheNode();
    await eventually(async () => await drops(DropReason[reason]) > between);
    assert.deepEqual([link.take(), atOutside.take()], [[], []]);
  };

  await step("drops what comes from either side, with an event: ENDPOINT_NOT_READY", async () => {
    const event = stream.next();
    await closed("ENDPOINT_NOT_READY");
    const { value } = await event;
    assert.equal(value?.eventType, FlowEventType.DROP);
    assert.equal(value?.dropReason, DropReason.ENDPOINT_NOT_READY);
    assert.equal(value?.srcIp, Ipv4.parse(SRC).value);
  });

  const endpoint = (identityId: number) =>
    dataplane.upsertEndpoint({
      ip: Ipv4.parse(SRC).value,
      ifindex,
      mac: Mac.parse(MAC).bytes,
      identityId,
    });

  await step("an endpoint without an identity is closed as well: NO_IDENTITY", async () => {
    await endpoint(0);
    await closed("NO_IDENTITY");
  });

  await step("opens with the endpoint, and closes when that goes", async () => {
    await endpoint(300);
    link.send(toTheOutside);
    await atOutside.next();
    await fromTheNode();
    await link.next();
    await dataplane.deleteEndpoint({ ip: Ipv4.parse(SRC).value });
    await closed("ENDPOINT_NOT_READY");
  });

  await stream.return?.();
});

/** Sends as soon as there is an interface, and again and again until `done`. @returns how many frames the kernel took */
async function sendFromTheFirstMoment(netns: LabNetns, to: string, done: Promise<unknown>) {
  const ended = done.then(() => true);
  const pause = () => new Promise<false>((resolve) => setTimeout(() => resolve(false), 1));
  let sent = 0;
  using links = netns.rtnetlink();
  do {
    const link = links.linkFind("eth0");
    const address = link && links.addrList(link.index)[0]?.host;
    if (link?.mac === undefined || address === undefined) continue;
    try {
      using raw = new RawLink(netns, "eth0");
      raw.send(hello(address.toString(), link.mac.toString(), to));
      sent++;
    } catch {
      // The interface is down yet.
    }
  } while (!await Promise.race([ended, pause()]));
  return sent;
}

const QUICK = { cniConfig: { quickAttach: true } };

scenario("a pod that sends from its first moment", QUICK, async ({ lab, node, step }) => {
  const victim = await node.addPod("victim");
  const atVictim = lab.own(new RawLink(victim.netns, "eth0"));
  const atOutside = lab.own(new RawLink(node.outside, "node", ipv4Of(IpProtocol.UDP)));
  await node.writeManifest("deny.yaml", DENY_ALL);
  await node.untilRules((rules) => rules.some((rule) => rule.includes("nobody")));

  let allSent = 0;
  for (let round = 0; round < EARLY_PODS; round++) {
    const to = round % 2 === 0 ? victim.ip : node.addresses.outside;
    await step(`pod ${round} reaches nobody at ${to}`, async () => {
      const netns = await lab.addNetns();
      const added = node.cni("ADD", {
        containerId: containerIdOf(netns.name),
        netnsPath: netns.path,
        podName: `early-${round}`,
        podNamespace: "default",
      });
      const sent = await sendFromTheFirstMoment(netns, to, added);
      assert.equal((await added).code, 0);
      allSent += sent;
      assert.deepEqual([atVictim.take(), atOutside.take()], [[], []]);
    });
  }
  // On a busy machine one ADD may be done before its pod is seen; not each of them.
  assert(allSent > 0);

  await step(
    "nor does one whose programs move from filters to TCX, or that lies about who it is",
    async () => {
      if (!tcxSupported()) return;
      const pod = await node.addPod("moving");
      const mac = pod.result.interfaces.find(({ name }) => name === "eth0")?.mac ?? "";
      using link = new RawLink(pod.netns, "eth0");
      await eventually(() => {
        for (const src of [pod.ip, victim.ip, "192.0.2.77"]) {
          for (const dst of [victim.ip, node.addresses.outside]) link.send(hello(src, mac, dst));
        }
        assert.deepEqual(hooksOf(node, hostIfName(pod)), IN_THE_END);
        return true;
      }, { timeoutMs: 30_000, intervalMs: 0, what: "programs at TCX" });
      assert.deepEqual([atVictim.take(), atOutside.take()], [[], []]);
    },
  );

  await step("what was sent once the interface was up was dropped by policy", async () => {
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const { dropCounters } = await dataplane.getDataplaneStatus({});
    assert(Number(dropCounters[DropReason.POLICY_DENIED]) > 0);
  });
});
