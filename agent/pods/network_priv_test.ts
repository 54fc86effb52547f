import assert from "node:assert/strict";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { netnsIdentity, readSysctl } from "../../shared/netns/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { UdpSocket } from "../../shared/testing/sockets.ts";
import type { Attachment } from "../state/mod.ts";
import { hostMac, PodNetwork } from "./network.ts";

const GATEWAY = Ipv4.parse("10.244.0.1");
const NODE = Ipv4.parse("198.51.100.7");

function attachment(netns: LabNetns, last: number): Attachment {
  const ip = Ipv4.parse(`10.244.0.${last}`);
  return {
    containerId: `0123456789ab${last}`,
    ifName: "eth0",
    podNamespace: "default",
    podName: `pod-${last}`,
    netns: netns.path,
    netnsId: netnsIdentity(netns.path),
    ip,
    mac: Mac.forPod(ip),
    gateway: GATEWAY,
    prefixLen: 24,
    mtu: 1450,
    hostIfName: `nv0123456789${last}`,
    hostIfindex: 0,
    labels: {},
    identityLabels: {},
    state: "adding",
    createdUnixMs: 0,
  };
}

/** A host with the node's address, and pods. */
async function withHost(
  run: (host: LabNetns, lab: NetnsLab, network: PodNetwork) => Promise<void>,
): Promise<void> {
  await using lab = new NetnsLab();
  const host = await lab.addNetns();
  await host.run(["ip", "address", "add", `${NODE}/32`, "dev", "lo"]);
  await using network = new PodNetwork({
    bigTcp: true,
    hostSource: () => NODE,
    hostNetns: host.path,
  });
  await run(host, lab, network);
}

/** A port where nobody listens answers at once, if there is a way there and back. */
async function assertReaches(from: LabNetns, address: string): Promise<void> {
  const { stderr } = await from.try(["timeout", "2", "bash", "-c", `: < /dev/tcp/${address}/9`]);
  assert.match(stderr, /Connection refused/);
}

function addPod(network: PodNetwork, pod: Attachment): Attachment {
  const added = { ...pod, hostIfindex: network.create(pod) };
  network.activate(added);
  return added;
}

Deno.test("host and pod reach each other without ARP, from the node's address", async () => {
  await withHost(async (host, lab, network) => {
    const netns = await lab.addNetns();
    const pod = addPod(network, attachment(netns, 2));
    assert.deepEqual(network.check(pod), []);
    await assertReaches(host, "10.244.0.2");
    await assertReaches(netns, NODE.toString());
    using inside = netns.rtnetlink();
    const routes = inside.routeList().map((route) => `${route.destination}`).sort();
    assert.deepEqual(routes, ["0.0.0.0/0", "10.244.0.1/32"]);
    using outside = host.rtnetlink();
    const [route] = outside.routeList();
    assert.deepEqual(
      [`${route?.destination}`, `${route?.source}`, route?.oif],
      ["10.244.0.2/32", NODE.toString(), pod.hostIfindex],
    );
    const link = inside.linkGet("eth0");
    assert.equal(link.gsoIpv4MaxSizeBytes, 196_608);
    assert.equal(link.mtu, 1450);
    assert.ok(outside.linkGet(pod.hostIfName).mac?.equals(hostMac(GATEWAY)));
    assert.equal(readSysctl(netns.path, "net/ipv6/conf/eth0/disable_ipv6"), "1");
    assert.equal(readSysctl(host.path, `net/ipv4/conf/${pod.hostIfName}/forwarding`), "1");
  });
});

Deno.test("before the way is opened nothing passes", async () => {
  await withHost(async (host, lab, network) => {
    const netns = await lab.addNetns();
    network.create(attachment(netns, 2));
    using outside = host.rtnetlink();
    assert.equal(outside.linkGet("nv01234567892").up, false);
    assert.deepEqual(outside.routeList(), []);
  });
});

Deno.test("what is sent at once when both ends run arrives, in both directions", async () => {
  await withHost(async (host, lab, network) => {
    const netns = await lab.addNetns();
    using outside = new UdpSocket(host, { port: 5000 });
    using inside = new UdpSocket(netns, { port: 5000 });
    for (let round = 0; round < 20; round++) {
      const pod = addPod(network, attachment(netns, 2 + round));
      assert.deepEqual(await network.untilRunning(pod, 2000), []);
      outside.send({ ip: pod.ip.toString(), port: 5000 }, "from the host");
      inside.send({ ip: NODE.toString(), port: 5000 }, "from the pod");
      for (const socket of [inside, outside]) {
        await eventually(() => socket.take()[0], { timeoutMs: 300, what: `datagram ${round}` });
      }
      await network.remove(pod);
    }
  });
});

Deno.test("removing is complete, can be repeated, and leaves others' interfaces alone", async () => {
  await withHost(async (host, lab, network) => {
    const netns = await lab.addNetns();
    const pod = addPod(network, attachment(netns, 2));
    await network.remove(pod);
    await network.remove(pod);
    assert.equal(network.hostLink(pod), undefined);
    using inside = netns.rtnetlink();
    assert.equal(inside.linkFind("eth0"), undefined);
    await host.run(["ip", "link", "add", pod.hostIfName, "type", "veth", "peer", "name", "other"]);
    await network.remove(pod);
    assert.equal(network.hostIfExists(pod.hostIfName), true);
    assert.deepEqual(network.ownHostLinks(GATEWAY), []);
  });
});

const DAMAGE: [what: string, damage: string[], inPod: boolean, fault: RegExp][] = [
  ["address", ["ip", "address", "flush", "dev", "eth0"], true, /does not have address/],
  ["default route", ["ip", "route", "del", "default"], true, /no default route/],
  ["gateway route", ["ip", "link", "set", "eth0", "down"], true, /eth0 is down/],
  ["pod neighbour", ["ip", "neigh", "flush", "nud", "permanent", "dev", "eth0"], true, /neighbour/],
  ["host route", ["ip", "route", "flush", "10.244.0.2/32"], false, /no route to 10.244.0.2/],
  ["MAC", ["ip", "link", "set", "eth0", "address", "02:11:22:33:44:55"], true, /has MAC 02:11:22/],
  ["MTU", ["ip", "link", "set", "eth0", "mtu", "1300"], true, /eth0 has MTU 1300, not 1450/],
  ["host's MTU", ["ip", "link", "set", "nv01234567892", "mtu", "1300"], false, /892 has MTU 1300/],
  ["host end", ["ip", "link", "set", "nv01234567892", "down"], false, /nv01234567892 is down/],
];
for (const [what, damage, inPod, fault] of DAMAGE) {
  Deno.test(`check finds and repair mends: ${what}`, async () => {
    await withHost(async (host, lab, network) => {
      const netns = await lab.addNetns();
      const pod = addPod(network, attachment(netns, 2));
      await (inPod ? netns : host).run(damage);
      assert.match(network.check(pod).join("\n"), fault);
      network.repair(pod);
      assert.deepEqual(network.check(pod), []);
      await assertReaches(host, "10.244.0.2");
    });
  });
}

Deno.test("a second interface leaves the default route with the first", async () => {
  await withHost(async (_host, lab, network) => {
    const netns = await lab.addNetns();
    const first = addPod(network, attachment(netns, 2));
    const second = addPod(network, { ...attachment(netns, 3), ifName: "net1" });
    assert.deepEqual([...network.check(first), ...network.check(second)], []);
    using inside = netns.rtnetlink();
    const defaults = inside.routeList().filter(({ destination }) => destination.prefixLen === 0);
    assert.deepEqual(defaults.map(({ oif }) => oif), [inside.linkGet("eth0").index]);
  });
});
