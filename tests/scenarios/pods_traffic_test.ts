import assert from "node:assert/strict";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { hostIfName } from "../../shared/testing/node.ts";
import { EtherType, viewOf } from "../../shared/testing/packets.ts";
import { ipv4Of, RawLink } from "../../shared/testing/raw_link.ts";
import { ping, TcpClient, TcpEchoServer, UdpSocket } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

/** Somebody who talks or listens, and where. */
interface Party {
  readonly name: string;
  readonly netns: LabNetns;
  readonly ip: string;
}

/** Sends a datagram and gets it back. */
async function echoDatagram(from: Party, to: Party, data: Uint8Array): Promise<void> {
  using server = new UdpSocket(to.netns);
  using client = new UdpSocket(from.netns);
  client.send({ ip: to.ip, port: server.address.port }, data);
  const request = await server.next();
  assert.equal(request.from.ip, from.ip, "nobody translates the sender's address");
  server.send(request.from, request.data);
  const reply = await client.next();
  assert.deepEqual([reply.from.ip, reply.data.toHex()], [to.ip, data.toHex()]);
}

async function echoStream(from: Party, to: Party, text: string): Promise<void> {
  await using server = new TcpEchoServer(to.netns);
  using client = await TcpClient.connect(from.netns, { ip: to.ip, port: server.port });
  assert.equal(await client.exchange(text), text);
}

const isArp = (frame: Uint8Array) => viewOf(frame).getUint16(12) === EtherType.ARP;
const pattern = (size: number) => Uint8Array.from({ length: size }, (_, index) => index * 7);

scenario("pods reach each other, the node and the outside", {}, async ({ lab, node, step }) => {
  const [web, client] = [await node.addPod("web"), await node.addPod("client")];
  const host: Party = { name: "the node", netns: node.netns, ip: node.addresses.node };
  const outside: Party = {
    name: "the outside",
    netns: node.outside,
    ip: node.addresses.outside,
  };
  // Everything that the pods and the node ask for by ARP passes one of these.
  const taps = [
    new RawLink(node.netns, hostIfName(web), isArp),
    new RawLink(node.netns, hostIfName(client), isArp),
    new RawLink(web.netns, "eth0", isArp),
    new RawLink(client.netns, "eth0", isArp),
  ].map((tap) => lab.own(tap));

  const ways: (readonly [from: Party, to: Party, ttl: number])[] = [
    [client, web, 63],
    [web, client, 63],
    [client, host, 64],
    [host, client, 64],
    [client, outside, 63],
    [outside, client, 63],
    [web, web, 64],
  ];
  for (const [from, to, ttl] of ways) {
    await step(`${from.name} to ${to === from ? "itself" : to.name}`, async () => {
      assert.equal(await ping(from.netns, to.ip), ttl, "TTL of the echo reply");
      await echoStream(from, to, "novanet ".repeat(2000));
      await echoDatagram(from, to, pattern(100));
    });
  }

  await step("a datagram of 8 KiB, in fragments", async () => {
    for (const [from, to] of ways) await echoDatagram(from, to, pattern(8192));
    // 8 bytes more than the largest echo request that needs no fragments.
    await ping(client.netns, web.ip, { size: 1450 - 28 + 8 });
    await ping(client.netns, node.addresses.outside, { size: 8192 });
  });

  await step("the largest packet that goes in one piece fills the MTU of 1450 bytes", async () => {
    using tap = new RawLink(web.netns, "eth0", ipv4Of(IpProtocol.UDP));
    for (const size of [1450 - 28, 1450 - 27]) {
      await echoDatagram(client, web, pattern(size));
    }
    // The tap sees requests alone: they come in.
    assert.deepEqual(tap.take().map((frame) => frame.length - 14), [1450, 1444, 27]);
  });

  await step("many connections at once, with much data", async () => {
    await using server = new TcpEchoServer(web.netns);
    const clients = await Promise.all(
      Array.from(
        { length: 50 },
        () => TcpClient.connect(client.netns, { ip: web.ip, port: server.port }),
      ),
    );
    const texts = clients.map((_, index) => `${index} `.repeat(5000));
    const answers = await Promise.all(
      clients.map((each, index) => each.exchange(texts[index] ?? "", 5000)),
    );
    assert.deepEqual(answers, texts);
    for (const each of clients) each.close();
  });

  await step("nobody needed ARP", () => {
    assert.deepEqual(taps.map((tap) => tap.take().length), [0, 0, 0, 0]);
  });

  await step("an address without a pod is no route, not a way out", async () => {
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const before = (await dataplane.getDataplaneStatus({})).dropCounters;
    using socket = new UdpSocket(client.netns);
    using uplink = new RawLink(node.outside, "node", ipv4Of(IpProtocol.UDP));
    socket.send({ ip: "10.244.0.200", port: 9 }, "anybody?");
    const { dropCounters } = await dataplane.getDataplaneStatus({});
    const key = DropReason.NO_ROUTE;
    assert.equal((dropCounters[key] ?? 0n) - (before[key] ?? 0n), 1n);
    assert.deepEqual(uplink.take(), []);
  });

  await step("an error about a packet finds its way back", async () => {
    await assert.rejects(
      TcpClient.connect(client.netns, { ip: web.ip, port: 9 }),
      { name: "SysError", code: "ECONNREFUSED" },
    );
    using icmp = new RawLink(client.netns, "eth0", ipv4Of(IpProtocol.ICMP));
    for (const { ip } of [web, host, outside]) {
      using socket = new UdpSocket(client.netns);
      socket.send({ ip, port: 9 }, "closed?");
      const error = await icmp.next();
      // Port unreachable (RFC 792).
      assert.deepEqual([error[34], error[35]], [3, 3], ip);
    }
  });
});
