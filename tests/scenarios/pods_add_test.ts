import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { netnsReadFile } from "../../shared/ffi/sys.ts";
import { openNetns } from "../../shared/netns/netns.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { containerIdOf, hostIfName } from "../../shared/testing/node.ts";
import { scenario } from "./scenario.ts";

const GATEWAY = "10.244.0.1";
const GATEWAY_MAC = "02:fe:0a:f4:00:01";

function sysctl(netns: LabNetns, name: string): string {
  using fd = openNetns(netns.path);
  return netnsReadFile(fd.fd, `/proc/sys/net/${name}`).trim();
}

scenario("what ADD makes", {}, async ({ lab, node, step }) => {
  const pod = await node.addPod("web", { namespace: "shop", labels: { app: "web" } });
  const host = hostIfName(pod);

  await step("the result names both interfaces, the address, the gateway and the route", () => {
    assert.deepEqual(pod.result, {
      cniVersion: "1.1.0",
      interfaces: [
        { name: "eth0", mac: "02:fe:0a:f4:00:02", mtu: 1450, sandbox: pod.netns.path },
        { name: `nv${pod.containerId.slice(0, 11)}`, mac: GATEWAY_MAC, mtu: 1450 },
      ],
      ips: [{ address: "10.244.0.2/24", gateway: GATEWAY, interface: 0 }],
      routes: [{ dst: "0.0.0.0/0", gw: GATEWAY }],
    });
  });

  await step("the result is in the version of the configuration", async () => {
    const versions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    for (const cniVersion of versions) {
      const attachment = {
        containerId: containerIdOf(cniVersion),
        netnsPath: (await lab.addNetns()).path,
        podName: `v${cniVersion}`,
        podNamespace: "default",
      };
      const { code, stdout } = await node.cni("ADD", attachment, { cniVersion });
      assert.equal(code, 0, stdout);
      const result = JSON.parse(stdout);
      assert.equal(result.cniVersion, cniVersion);
      // Before 1.0.0 an address said its family; from 1.1.0 an interface says its MTU.
      assert.equal(result.ips[0].version, cniVersion < "1" ? "4" : undefined);
      assert.equal(result.interfaces[0].mtu, cniVersion === "1.1.0" ? 1450 : undefined);
      assert.equal((await node.cni("DEL", attachment, { cniVersion })).code, 0);
    }
  });

  await step("the pod has its address and no connected route", () => {
    using inside = pod.netns.rtnetlink();
    const eth0 = inside.linkGet("eth0");
    assert.deepEqual([eth0.up, eth0.mtu, `${eth0.mac}`], [true, 1450, "02:fe:0a:f4:00:02"]);
    const addresses = inside.addrList(eth0.index).map(({ host, cidr }) => `${host} in ${cidr}`);
    assert.deepEqual(addresses, ["10.244.0.2 in 10.244.0.0/24"]);
    const routes = inside.routeList({ oif: eth0.index }).map(({ destination, gateway }) =>
      `${destination} via ${gateway ?? "link"}`
    );
    assert.deepEqual(routes.sort(), [`0.0.0.0/0 via ${GATEWAY}`, `${GATEWAY}/32 via link`]);
  });

  await step("the gateway is the pod's only neighbour, for good", () => {
    using inside = pod.netns.rtnetlink();
    const neighbours = inside.neighList(inside.linkGet("eth0").index)
      .filter(({ ip, state }) => ip !== undefined && state !== undefined)
      .map(({ ip, mac, permanent }) => [`${ip}`, `${mac}`, permanent]);
    assert.deepEqual(neighbours, [[GATEWAY, GATEWAY_MAC, true]]);
  });

  await step("the host has a route and a neighbour for the pod alone", () => {
    using links = node.netns.rtnetlink();
    const link = links.linkGet(host);
    assert.deepEqual([link.up, link.mtu, `${link.mac}`], [true, 1450, GATEWAY_MAC]);
    assert.deepEqual(links.addrList(link.index), []);
    const routes = links.routeList({ oif: link.index });
    assert.deepEqual(
      routes.map(({ destination, source }) => `${destination} src ${source}`),
      [`${pod.ip}/32 src ${node.addresses.node}`],
    );
    const neighbours = links.neighList(link.index).map(({ ip, mac, permanent }) => [
      `${ip}`,
      `${mac}`,
      permanent,
    ]);
    assert.deepEqual(neighbours, [[pod.ip, "02:fe:0a:f4:00:02", true]]);
  });

  await step("IPv6 is off, and forwarding is as the pod's traffic needs", () => {
    assert.equal(sysctl(pod.netns, "ipv6/conf/eth0/disable_ipv6"), "1");
    const settings = ["ipv6/conf/HOST/disable_ipv6", "ipv4/conf/HOST/forwarding"];
    for (const name of settings) {
      assert.equal(sysctl(node.netns, name.replace("HOST", host)), "1", name);
    }
    for (const name of ["rp_filter", "proxy_arp", "accept_redirects"]) {
      assert.equal(sysctl(node.netns, `ipv4/conf/${host}/${name}`), "0", name);
    }
  });

  await step("IPv4 BIG TCP is on at both ends where the kernel has it", () => {
    for (const [netns, name] of [[pod.netns, "eth0"], [node.netns, host]] as const) {
      using links = netns.rtnetlink();
      const { gsoIpv4MaxSizeBytes, groIpv4MaxSizeBytes } = links.linkGet(name);
      const expected = gsoIpv4MaxSizeBytes === undefined ? undefined : 196_608;
      assert.deepEqual([gsoIpv4MaxSizeBytes, groIpv4MaxSizeBytes], [expected, expected], name);
    }
  });

  await step(
    "both programs are attached, and the agent and the dataplane know the pod",
    async () => {
      const dataplane = node.client(DataplaneControl, "dataplane.sock");
      const { programs } = await dataplane.getDataplaneStatus({});
      const attached = programs.filter(({ interfaceName }) => interfaceName === host);
      assert.deepEqual(attached.map(({ attachType }) => attachType).sort(), ["egress", "ingress"]);
      assert(attached.every(({ programId }) => programId > 0));
      const { pods } = await node.client(AgentExt, "novanet.sock").listPods({});
      assert.deepEqual(
        pods.map(({ namespace, name, ip, hostIfName, state, labels }) => (
          { namespace, name, ip, hostIfName, state, labels }
        )),
        [{
          namespace: "shop",
          name: "web",
          ip: pod.ip,
          hostIfName: host,
          state: "ready",
          labels: { app: "web", "novanet.io/namespace": "shop" },
        }],
      );
    },
  );

  await step("an interface that collides on the host gets a name from a hash", async () => {
    const attachment = {
      containerId: `${pod.containerId.slice(0, 11)}ffffffff`,
      netnsPath: (await lab.addNetns()).path,
      podName: "twin",
      podNamespace: "shop",
    };
    const { stdout } = await node.cni("ADD", attachment);
    const name = JSON.parse(stdout).interfaces[1].name;
    assert.match(name, /^nv[0-9a-f]{11}$/);
    assert.notEqual(name, host);
    assert.equal((await node.cni("DEL", attachment)).code, 0);
  });

  await step("a second interface of the same container has an address of its own", async () => {
    const attachment = {
      containerId: pod.containerId,
      netnsPath: pod.netns.path,
      ifName: "net1",
      podName: "web",
      podNamespace: "shop",
    };
    const { code, stdout } = await node.cni("ADD", attachment);
    assert.equal(code, 0, stdout);
    const [own, other] = JSON.parse(stdout).interfaces;
    assert.deepEqual([own.name, own.sandbox], ["net1", pod.netns.path]);
    assert.notEqual(other.name, host);
    assert.notEqual(JSON.parse(stdout).ips[0].address, `${pod.ip}/24`);
    assert.equal((await node.cni("DEL", attachment)).code, 0);
  });
});
