/** What looks like an attack and is none, between real sockets: it must pass. */
import assert from "node:assert/strict";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import {
  ethernet,
  icmpEcho,
  IcmpType,
  ipv4,
  tcp,
  type TransportLayer,
  udp,
} from "../../shared/testing/packets.ts";
import { ipv4Of, RawLink } from "../../shared/testing/raw_link.ts";
import { ping, TcpClient, TcpEchoServer, UdpSocket } from "../../shared/testing/sockets.ts";
import { scenario } from "../scenarios/scenario.ts";

const FAR = "203.0.113.2";
const FAR_ROUTER = "203.0.113.1";
const SMALL_MTU = 1280;
const GATEWAY_MAC = "02:fe:0a:f4:00:01";

const datagram = Uint8Array.from({ length: 8192 }, (_, index) => index * 7);
const isIcmp = ipv4Of(IpProtocol.ICMP);
/** Type and code of an ICMP message in a frame; undefined when it is none. */
function icmpOf(frame: Uint8Array): readonly [number, number] | undefined {
  if (!isIcmp(frame)) return undefined;
  const at = 14 + ((frame[14] ?? 0) & 0xf) * 4;
  return [frame[at] ?? 0, frame[at + 1] ?? 0];
}

scenario("what passes although it looks like an attack", {}, async ({ lab, node, step }) => {
  const web = await node.addPod("web");
  const client = await node.addPod("client");
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const drops = async () => (await dataplane.getDataplaneStatus({})).dropCounters;

  // A way whose last part is narrower than the first: the router there must tell the senders.
  const far = await lab.addNetns();
  lab.addVeth({ netns: node.outside, name: "far", mtu: SMALL_MTU }, { netns: far, name: "eth0" });
  await node.outside.run(["ip", "address", "add", `${FAR_ROUTER}/24`, "dev", "far"]);
  await node.outside.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await far.run(["ip", "address", "add", `${FAR}/24`, "dev", "eth0"]);
  await far.run(["ip", "route", "add", "default", "via", FAR_ROUTER]);
  await node.netns.run(["ip", "route", "add", "203.0.113.0/24", "via", node.addresses.outside]);

  const places = {
    "another pod": { netns: web.netns, ip: web.ip },
    "the outside": { netns: node.outside, ip: node.addresses.outside },
    "the node": { netns: node.netns, ip: node.addresses.node },
  };
  for (const [where, { netns, ip }] of Object.entries(places)) {
    await step(`UDP of 8 KiB in fragments to ${where} and back`, async () => {
      using there = new UdpSocket(netns, { ip });
      using here = new UdpSocket(client.netns, { ip: client.ip });
      here.send(there.address, datagram);
      const request = await there.next();
      assert.deepEqual(request.data, datagram);
      there.send(request.from, datagram.toReversed());
      assert.deepEqual((await here.next()).data, datagram.toReversed());
    });
  }

  await step("large pings", async () => {
    for (const size of [1472, 1473, 8000, 20_000]) await ping(client.netns, web.ip, { size });
    await ping(client.netns, node.addresses.outside, { size: 8000 });
  });

  await step("a pod that talks to itself by its own address", async () => {
    await using server = new TcpEchoServer(client.netns);
    using connection = await TcpClient.connect(client.netns, { ip: client.ip, port: server.port });
    assert.equal(await connection.exchange("myself"), "myself");
    using socket = new UdpSocket(client.netns, { ip: client.ip });
    socket.send(socket.address, datagram);
    assert.deepEqual((await socket.next()).data, datagram);
    await ping(client.netns, client.ip);
  });

  await step(
    "TCP with whatever options the kernel uses, also with SACK and timestamps off",
    async () => {
      await using server = new TcpEchoServer(web.netns);
      for (const [sack, timestamps, scaling] of [[1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]]) {
        await client.netns.run([
          "sysctl",
          "-qw",
          `net.ipv4.tcp_sack=${sack}`,
          `net.ipv4.tcp_timestamps=${timestamps}`,
          `net.ipv4.tcp_window_scaling=${scaling}`,
        ]);
        using connection = await TcpClient.connect(client.netns, { ip: web.ip, port: server.port });
        assert.equal(await connection.exchange("options"), "options");
      }
    },
  );

  await step("an ICMP error about an own flow: a port that nobody listens on", async () => {
    using link = new RawLink(client.netns, "eth0", (frame) => icmpOf(frame)?.[0] === 3);
    for (const ip of [web.ip, node.addresses.outside, node.addresses.node]) {
      using socket = new UdpSocket(client.netns, { ip: client.ip });
      socket.send({ ip, port: 9 }, "is anybody there?");
      assert.deepEqual(icmpOf(await link.next()), [IcmpType.UNREACHABLE, 3], ip);
    }
  });

  await step("a traceroute: each router on the way says where the packet ended", async () => {
    using link = new RawLink(client.netns, "eth0", isIcmp);
    const probe = (ttl: number, payload: TransportLayer) =>
      link.send(ethernet(
        { src: `02:fe:0a:f4:00:0${client.ip.at(-1)}`, dst: GATEWAY_MAC },
        ipv4({ src: client.ip, dst: FAR, ttl }, payload),
      ));
    const routers: string[] = [];
    const payloads = [
      udp({ srcPort: 33_000, dstPort: 33_434 }, "traceroute"),
      icmpEcho({ id: 33_000 }),
      tcp({ srcPort: 33_001, dstPort: 80, flags: "S" }),
    ];
    for (const payload of payloads) {
      for (const ttl of [1, 2]) {
        probe(ttl, payload);
        const frame = await link.next();
        assert.deepEqual(icmpOf(frame), [IcmpType.TIME_EXCEEDED, 0]);
        routers.push([...frame.subarray(26, 30)].join("."));
      }
    }
    const way = [node.addresses.node, node.addresses.outside];
    assert.deepEqual(routers, [...way, ...way, ...way]);
  });

  await step("path MTU discovery: the router's answer gets through, and TCP goes on", async () => {
    await using server = new TcpEchoServer(far);
    // The far end offers the segments that its own wire has room for, so that nobody knows of the narrow part.
    await far.run(["ip", "link", "set", "eth0", "mtu", "1500"]);
    using connection = await TcpClient.connect(client.netns, { ip: FAR, port: server.port });
    const text = "0123456789abcdef".repeat(2048);
    assert.equal(await connection.exchange(text, 10_000), text);
    const { stdout } = await client.netns.run(["ip", "route", "get", FAR]);
    assert.match(stdout, new RegExp(`mtu ${SMALL_MTU}\\b`));
  });

  await step("the gateway's neighbour needs no ARP, and flushing does not take it", async () => {
    await client.netns.run(["ip", "neigh", "flush", "dev", "eth0"]);
    const { stdout } = await client.netns.run(["ip", "neigh", "show", "10.244.0.1"]);
    assert.match(stdout, new RegExp(`lladdr ${GATEWAY_MAC}.* PERMANENT`));
    await ping(client.netns, web.ip);
    await ping(client.netns, node.addresses.outside);
  });

  await step("nothing of it was dropped", async () => {
    await eventually(async () => {
      assert.deepEqual(await drops(), {});
      return true;
    });
  });
});
