import assert from "node:assert/strict";
import { isErrno } from "../ffi/errno.ts";
import { Cidr } from "../net/cidr.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { Mac } from "../net/mac.ts";
import { openNetns } from "../netns/netns.ts";
import { type LabNetns, NetnsLab } from "../testing/lab.ts";
import { AddrFlag, RouteFlag, RouteProtocol, RouteScope } from "./constants.ts";
import { NetlinkEvents } from "./events.ts";
import { NetlinkError } from "./netlink_error.ts";
import { linkDeleteAsync, RtnetlinkSocket } from "./rtnetlink_socket.ts";

const POD_IP = Ipv4.parse("10.244.1.7");
const GATEWAY = Ipv4.parse("10.244.1.1");
const BIG_TCP_BYTES = 196608;

/** A test with two namespaces and a socket in the first. */
function labTest(
  name: string,
  body: (links: RtnetlinkSocket, host: LabNetns, pod: LabNetns) => void | Promise<void>,
): void {
  Deno.test(name, async () => {
    await using lab = new NetnsLab();
    const [host, pod] = [await lab.addNetns(), await lab.addNetns()];
    using links = host.rtnetlink();
    await body(links, host, pod);
  });
}

function refusal(call: () => unknown): NetlinkError {
  try {
    call();
  } catch (error) {
    assert(error instanceof NetlinkError, String(error));
    return error;
  }
  assert.fail("the kernel did not refuse");
}

/** @returns the index of the first of a new pair v0, v1, both up. */
function addPair(links: RtnetlinkSocket): number {
  links.vethCreate({ name: "v0" }, { name: "v1" });
  for (const name of ["v0", "v1"]) links.linkSet(links.linkGet(name).index, { up: true });
  return links.linkGet("v0").index;
}

labTest("a veth pair is made in one request, its peer in another namespace", (links, _, pod) => {
  using podFd = openNetns(pod.path);
  links.vethCreate(
    {
      name: "nv0123456789a",
      mtu: 1450,
      mac: Mac.forPod(GATEWAY),
      gsoIpv4MaxSizeBytes: BIG_TCP_BYTES,
    },
    {
      name: "eth0",
      netnsFd: podFd.fd,
      mtu: 1450,
      mac: Mac.forPod(POD_IP),
      gsoMaxSizeBytes: BIG_TCP_BYTES,
      groIpv4MaxSizeBytes: BIG_TCP_BYTES,
    },
  );
  using inside = pod.rtnetlink();
  const [end, peer] = [links.linkGet("nv0123456789a"), inside.linkGet("eth0")];
  assert.equal(end.kind, "veth");
  assert.equal(end.up, false);
  assert.equal(peer.up, false);
  assert.deepEqual([end.mtu, peer.mtu], [1450, 1450]);
  assert.deepEqual([String(end.mac), String(peer.mac)], ["02:fe:0a:f4:01:01", "02:fe:0a:f4:01:07"]);
  assert.deepEqual([end.linkIndex, peer.linkIndex], [peer.index, end.index]);
  assert.equal(end.gsoIpv4MaxSizeBytes, BIG_TCP_BYTES);
  assert.equal(peer.gsoMaxSizeBytes, BIG_TCP_BYTES);
  assert.equal(peer.groIpv4MaxSizeBytes, BIG_TCP_BYTES);
  assert((peer.tsoMaxSizeBytes ?? 0) >= BIG_TCP_BYTES);
});

labTest("a link is found, changed, renamed, moved and deleted", (links, _, pod) => {
  const index = addPair(links);
  assert.equal(links.linkGet(index).name, "v0");
  assert.deepEqual(links.linkList().map(({ name }) => name).sort(), ["lo", "v0", "v1"]);
  links.linkSet(index, { up: false, name: "renamed", mtu: 1300, mac: Mac.forPod(POD_IP) });
  const changed = links.linkGet("renamed");
  assert.deepEqual([changed.index, changed.up, changed.mtu], [index, false, 1300]);
  assert.equal(String(changed.mac), String(Mac.forPod(POD_IP)));
  links.linkSet(index, { gsoIpv4MaxSizeBytes: BIG_TCP_BYTES, groIpv4MaxSizeBytes: BIG_TCP_BYTES });
  assert.equal(links.linkGet(index).groIpv4MaxSizeBytes, BIG_TCP_BYTES);
  using podFd = openNetns(pod.path);
  links.linkSet(index, { netnsFd: podFd.fd });
  assert.equal(links.linkFind("renamed"), undefined);
  using inside = pod.rtnetlink();
  assert.equal(inside.linkDelete("renamed"), true);
  assert.equal(inside.linkDelete("renamed"), false);
  assert.equal(links.linkFind("v1"), undefined);
});

labTest(
  "links are deleted at once from several threads, without waiting here",
  async (links, host) => {
    const names = Array.from({ length: 8 }, (_, n) => `a${n}`);
    for (const name of names) links.vethCreate({ name }, { name: `b${name}` });
    let settled = 0;
    const deletions = names.map(async (name) => {
      assert.equal(await linkDeleteAsync(host.path, name), true);
      settled++;
    });
    assert.equal(links.linkGet("lo").name, "lo");
    assert.equal(settled, 0);
    await Promise.all(deletions);
    assert.deepEqual(links.linkList().map(({ name }) => name), ["lo"]);
    assert.equal(await linkDeleteAsync(host.path, "a0"), false);
  },
);

labTest("what is not there is ENODEV", (links) => {
  for (const link of ["nothing", 4711]) {
    assert.equal(refusal(() => links.linkGet(link)).code, "ENODEV");
    assert.equal(links.linkFind(link), undefined);
    assert.equal(links.linkDelete(link), false);
  }
  assert.equal(refusal(() => links.linkSet(4711, { up: true })).code, "ENODEV");
});

labTest("a refusal says what was tried and what the kernel said", (links) => {
  addPair(links);
  const taken = refusal(() => links.vethCreate({ name: "v0" }, { name: "v2" }));
  assert.equal(taken.code, "EEXIST");
  assert(isErrno(taken, "EEXIST"));
  assert.match(taken.message, /^create veth v0: EEXIST/);
  const unreachable = refusal(() => links.routeAdd({ destination: Cidr.ALL, gateway: GATEWAY }));
  assert.equal(unreachable.kernelMessage, "Nexthop has invalid gateway");
  assert.match(
    unreachable.message,
    /add route 0\.0\.0\.0\/0: ENETUNREACH: Nexthop has invalid gateway/,
  );
});

labTest("addresses are added, listed and deleted", (links) => {
  const index = addPair(links);
  const spec = { index, host: POD_IP, cidr: Cidr.of(POD_IP, 24), noPrefixRoute: true };
  links.addrAdd(spec);
  assert.equal(refusal(() => links.addrAdd(spec)).code, "EEXIST");
  links.addrReplace(spec);
  const [address, ...more] = links.addrList(index);
  assert(address);
  assert.equal(more.length, 0);
  assert.deepEqual([String(address.host), String(address.cidr)], ["10.244.1.7", "10.244.1.0/24"]);
  assert.equal(address.flags, AddrFlag.PERMANENT | AddrFlag.NOPREFIXROUTE);
  assert.deepEqual(links.addrList().map(({ host }) => String(host)), ["127.0.0.1", "10.244.1.7"]);
  assert.deepEqual(links.routeList(), []);
  assert.equal(links.addrDel(spec), true);
  assert.equal(links.addrDel(spec), false);
  assert.deepEqual(links.addrList(index), []);
});

labTest("a pod's routes: the gateway on the link, the default through it", (links) => {
  const index = addPair(links);
  links.addrAdd({ index, host: POD_IP, cidr: Cidr.of(POD_IP, 24), noPrefixRoute: true });
  const gatewayRoute = { destination: Cidr.of(GATEWAY, 32), oif: index, source: POD_IP };
  const defaultRoute = { destination: Cidr.ALL, oif: index, gateway: GATEWAY, mtu: 1400 };
  links.routeAdd(gatewayRoute);
  links.routeAdd(defaultRoute);
  assert.equal(refusal(() => links.routeAdd(defaultRoute)).code, "EEXIST");
  links.routeReplace({ ...defaultRoute, mtu: 1300 });
  const [first, second, ...more] = links.routeList({ oif: index });
  assert(first && second && more.length === 0);
  assert.deepEqual([String(first.gateway), first.mtu, first.scope], [
    "10.244.1.1",
    1300,
    RouteScope.UNIVERSE,
  ]);
  assert.equal(second.scope, RouteScope.LINK);
  assert.equal(String(second.source), "10.244.1.7");
  assert.equal(second.protocol, RouteProtocol.NOVANET);
  assert.equal(links.routeDel({ destination: Cidr.ALL, gateway: POD_IP }), false);
  assert.equal(links.routeDel({ destination: Cidr.ALL, oif: index }), true);
  assert.equal(links.routeDel({ destination: Cidr.ALL, oif: index }), false);
  assert.equal(links.routeList().length, 1);
});

labTest("a gateway that no route reaches is accepted onlink", (links) => {
  const index = addPair(links);
  links.routeAdd({ destination: Cidr.ALL, oif: index, gateway: GATEWAY, onlink: true });
  assert.equal((links.routeList()[0]?.flags ?? 0) & RouteFlag.ONLINK, RouteFlag.ONLINK);
});

labTest("other tables are listed when asked for; one that nobody wrote to is empty", (links) => {
  const index = addPair(links);
  const destination = Cidr.parse("10.7.0.0/16");
  links.routeAdd({ destination, oif: index, table: 1000 });
  assert.deepEqual(links.routeList(), []);
  assert.deepEqual(links.routeList({ table: 1001 }), []);
  assert.equal(links.routeList({ table: 1000 })[0]?.table, 1000);
  assert(links.routeList({ table: "all" }).some((route) => route.destination.equals(destination)));
  assert.deepEqual(links.routeList({ table: 1000, protocol: RouteProtocol.STATIC }), []);
});

labTest("permanent neighbours are added, replaced, listed and deleted", (links) => {
  const index = addPair(links);
  const other = links.linkGet("v1").index;
  links.neighAdd({ index, ip: GATEWAY, mac: Mac.forPod(GATEWAY) });
  assert.equal(refusal(() => links.neighAdd({ index, ip: GATEWAY, mac: Mac.ZERO })).code, "EEXIST");
  links.neighReplace({ index, ip: GATEWAY, mac: Mac.forPod(POD_IP) });
  links.neighAdd({ index: other, ip: POD_IP, mac: Mac.forPod(POD_IP) });
  const [neighbour, ...more] = links.neighList(index);
  assert(neighbour?.permanent && more.length === 0);
  assert.equal(String(neighbour.mac), String(Mac.forPod(POD_IP)));
  assert.equal(links.neighList().length, 2);
  assert.equal(links.neighDel(index, GATEWAY), true);
  assert.equal(links.neighDel(index, GATEWAY), false);
});

labTest("queueing disciplines are listed per link", async (links, host) => {
  const index = addPair(links);
  await host.run(["tc", "qdisc", "add", "dev", "v0", "clsact"]);
  assert.deepEqual(links.qdiscList(index).map(({ kind }) => kind).sort(), ["clsact", "noqueue"]);
  assert(links.qdiscList().length > 2);
});

labTest("a table of thousands comes whole", (links) => {
  const index = addPair(links);
  const base = Ipv4.parse("10.200.0.0").value;
  for (let n = 0; n < 3000; n++) {
    links.routeAdd({ destination: Cidr.of(Ipv4.fromU32(base + n), 32), oif: index });
  }
  const routes = links.routeList();
  assert.equal(routes.length, 3000);
  assert.equal(new Set(routes.map(({ destination }) => destination.address.value)).size, 3000);
});

labTest("iproute2 sees what we make", async (links, host) => {
  const index = addPair(links);
  links.addrAdd({ index, host: POD_IP, cidr: Cidr.of(POD_IP, 24), noPrefixRoute: true });
  links.routeAdd({ destination: Cidr.of(GATEWAY, 32), oif: index, source: POD_IP });
  links.routeAdd({ destination: Cidr.ALL, oif: index, gateway: GATEWAY });
  links.neighAdd({ index, ip: GATEWAY, mac: Mac.forPod(GATEWAY) });
  const { stdout: routes } = await host.run(["ip", "route", "show"]);
  assert.deepEqual(routes.split("\n").map((line) => line.trim()), [
    "default via 10.244.1.1 dev v0 proto 78",
    "10.244.1.1 dev v0 proto 78 scope link src 10.244.1.7",
    "",
  ]);
  const { stdout: neighbours } = await host.run(["ip", "neigh", "show"]);
  assert.equal(neighbours.trim(), "10.244.1.1 dev v0 lladdr 02:fe:0a:f4:01:01 PERMANENT");
  const { stdout: addresses } = await host.run(["ip", "-4", "addr", "show", "dev", "v0"]);
  assert.match(addresses, /inet 10\.244\.1\.7\/24 scope global noprefixroute v0/);
});

Deno.test("a socket that can't be opened leaves no descriptor behind", () => {
  const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = count();
  assert.throws(() => RtnetlinkSocket.openIn("/etc/hostname"), { code: "EINVAL" });
  assert.throws(() => RtnetlinkSocket.openIn("/run/netns/nvt-none"), { code: "ENOENT" });
  assert.throws(() => NetlinkEvents.openIn("/etc/hostname"), { code: "EINVAL" });
  assert.equal(count(), before);
});

labTest("use after close throws", (links) => {
  links.close();
  links.close();
  assert.throws(() => links.linkList(), { name: "UseAfterCloseError" });
});
