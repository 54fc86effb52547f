/** The programs on real hooks: what only packets of the kernel itself show. */
import assert from "node:assert/strict";
import { attachClsact, TcxLink, tcxSupported } from "../../shared/ffi/bpf.ts";
import {
  AF_PACKET,
  bind,
  netnsSocket,
  sendto,
  setsockopt,
  SOCK_RAW,
} from "../../shared/ffi/sys.ts";
import type { FlowEvent } from "../../shared/gen/abi.ts";
import { Mac } from "../../shared/net/mod.ts";
import { inNetns, openNetns } from "../../shared/netns/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { ethernet, fragments, ipv4, udp } from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { Datapath, type DatapathPod, GATEWAY_MAC, ip } from "./datapath.ts";
import { A, arriving, B, IDENTITY_A, IDENTITY_B, OUTSIDE, sent } from "./world.ts";

const WORLD_IDENTITY = 2;
const UPLINK_MAC = Mac.parse("02:00:00:00:00:01");
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const VNET_HDR_SIZE = 10;

interface LivePod extends DatapathPod {
  readonly netns: LabNetns;
  readonly link: RawLink;
}

interface LiveWorld extends AsyncDisposable {
  readonly datapath: Datapath;
  readonly a: LivePod;
  readonly b: LivePod;
  /** Sends into the node's uplink. */
  readonly outside: RawLink;
}

const isIpv4 = (frame: Uint8Array) => frame[12] === 8 && frame[13] === 0;

/** A node that forwards, with two pods and a neighbour, the programs on the pods' interfaces. */
async function makeLiveWorld(mtus: { readonly a: number; readonly b: number }): Promise<LiveWorld> {
  await using building = new AsyncDisposableStack();
  const lab = building.use(new NetnsLab());
  const [node, neighbour] = [await lab.addNetns(), await lab.addNetns()];
  const datapath = building.use(new Datapath(node));
  lab.addVeth(
    { netns: node, name: "up", mac: UPLINK_MAC, mtu: 9000 },
    { netns: neighbour, name: "eth0", mtu: 9000 },
  );
  await node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await node.run(["ip", "address", "add", "198.51.100.1/24", "dev", "up"]);
  const addPod = async (name: "a" | "b", address: string, identity: number): Promise<LivePod> => {
    const netns = await lab.addNetns();
    const mac = Mac.forPod(ip(address));
    const mtu = mtus[name];
    lab.addVeth({ netns: node, name, mac: GATEWAY_MAC, mtu }, { netns, name: "eth0", mac, mtu });
    await node.run(["ip", "route", "add", `${address}/32`, "dev", name]);
    await node.run(["ip", "neigh", "add", address, "lladdr", mac.toString(), "dev", name]);
    using links = node.rtnetlink();
    const pod = { ip: ip(address), mac, ifindex: links.linkGet(name).index, identity };
    datapath.addPod(pod);
    inNetns(node.path, () => {
      const { ifindex } = pod;
      for (const [name, hook] of [["pod_egress", "ingress"], ["pod_ingress", "egress"]] as const) {
        const program = datapath.program(name);
        if (tcxSupported()) building.use(TcxLink.attach(program, ifindex, hook));
        else attachClsact(program, ifindex, hook);
      }
    });
    return { ...pod, netns, link: building.use(new RawLink(netns, "eth0", isIpv4)) };
  };
  const a = await addPod("a", A, IDENTITY_A);
  const b = await addPod("b", B, IDENTITY_B);
  const outside = building.use(new RawLink(neighbour, "eth0"));
  const built = building.move();
  return { datapath, a, b, outside, [Symbol.asyncDispose]: () => built.disposeAsync() };
}

async function nextEvents(datapath: Datapath, count: number): Promise<FlowEvent[]> {
  const events: FlowEvent[] = [];
  await eventually(() => {
    events.push(...datapath.events().filter(({ srcIp }) => srcIp !== 0));
    return events.length >= count;
  }, { what: `${count} events` });
  return events;
}

Deno.test("what the node cuts into fragments on its way to a pod is still the outside's", async () => {
  await using world = await makeLiveWorld({ a: 1500, b: 1500 });
  const { a, datapath, outside } = world;
  const datagram = udp({ srcPort: 9, dstPort: 53 }, new Uint8Array(4000));
  outside.send(
    ethernet(
      { src: Mac.parse("02:00:00:00:00:02"), dst: UPLINK_MAC },
      ipv4({ src: OUTSIDE, dst: A }, datagram),
    ),
  );
  const pieces = fragments({ src: OUTSIDE, dst: A, ttl: 63 }, datagram, [1480, 1480]);
  for (const piece of pieces) {
    await a.link.expect(ethernet({ src: GATEWAY_MAC, dst: a.mac }, piece));
  }
  const [event] = await nextEvents(datapath, 1);
  assert.equal(event?.srcIdentity, WORLD_IDENTITY);
});

Deno.test("fragments of a pod cross to another pod whole", async () => {
  await using world = await makeLiveWorld({ a: 1500, b: 1500 });
  const { a, b } = world;
  const datagram = udp({ srcPort: 9, dstPort: 53 }, new Uint8Array(4000));
  const pieces = fragments({ src: A, dst: B, id: 5 }, datagram, [1480, 1480]);
  for (const piece of pieces) a.link.send(ethernet({ src: a.mac, dst: GATEWAY_MAC }, piece));
  const delivered = fragments({ src: A, dst: B, id: 5, ttl: 63 }, datagram, [1480, 1480]);
  for (const piece of delivered) {
    await b.link.expect(ethernet({ src: GATEWAY_MAC, dst: b.mac }, piece));
  }
});

Deno.test("headers outside of a packet's linear part are read all the same", async (t) => {
  await using world = await makeLiveWorld({ a: 9000, b: 9000 });
  const { a, b, datapath } = world;
  using fd = openNetns(a.netns.path);
  using links = a.netns.rtnetlink();
  using socket = netnsSocket(fd.fd, AF_PACKET, SOCK_RAW, 0);
  setsockopt(socket.fd, SOL_PACKET, PACKET_VNET_HDR, 1);
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, 0x0300, true);
  view.setInt32(4, links.linkGet("eth0").index, true);
  bind(socket.fd, address);
  /** A zero struct virtio_net_hdr: more than a page of packet then has no more than its MACs in front. */
  const send = (frame: Uint8Array) => {
    const bytes = new Uint8Array(VNET_HDR_SIZE + frame.length);
    bytes.set(frame, VNET_HDR_SIZE);
    sendto(socket.fd, bytes);
  };
  const payload = new Uint8Array(5000);
  const rows = [
    { name: "UDP", spec: {}, port: 53 },
    { name: "UDP behind an option", spec: { options: Uint8Array.of(148, 4, 0, 0) }, port: 54 },
  ];
  for (const { name, spec, port } of rows) {
    await t.step(name, async () => {
      const datagram = udp({ srcPort: 9, dstPort: port }, payload);
      send(sent(a, B, datagram, spec));
      await b.link.expect(arriving(b, A, datagram, spec));
      const [event] = await nextEvents(datapath, 1);
      assert.deepEqual([event?.srcPort, event?.dstPort], [9, port]);
    });
  }
  await t.step("a source route", async () => {
    const options = Uint8Array.of(131, 7, 4, 192, 0, 2, 99);
    send(sent(a, B, udp({ srcPort: 9, dstPort: 55 }, payload), { options }));
    const [event] = await nextEvents(datapath, 1);
    assert.equal(event?.dropReason, 70);
  });
});
