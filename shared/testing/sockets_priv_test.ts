import assert from "node:assert/strict";
import { IpProtocol } from "../net/ip_protocol.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { eventually, EventuallyError } from "./eventually.ts";
import { type LabNetns, NetnsLab } from "./lab.ts";
import { icmpEcho, sctp, tcp, type TransportLayer, udp } from "./packets.ts";
import {
  PacketReceiver,
  ping,
  sendPacket,
  TcpClient,
  TcpEchoServer,
  UdpSocket,
} from "./sockets.ts";

const [LEFT, RIGHT, NOBODY] = ["10.9.0.1", "10.9.0.2", "10.9.0.3"];

/** Two namespaces that are joined. */
async function pair(lab: NetnsLab): Promise<[left: LabNetns, right: LabNetns]> {
  const [left, right] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: left, name: "l0" }, { netns: right, name: "r0" });
  await left.run(["ip", "address", "add", `${LEFT}/24`, "dev", "l0"]);
  await right.run(["ip", "address", "add", `${RIGHT}/24`, "dev", "r0"]);
  // What is sent to nobody goes on its way all the same, and is lost there.
  const neighbour = ["ip", "neighbour", "add", NOBODY, "lladdr", "02:00:00:00:00:09"];
  await left.run([...neighbour, "dev", "l0", "nud", "permanent"]);
  return [left, right];
}

Deno.test("TCP: an echo, from a port of one's own, a refusal, and no answer", async () => {
  await using lab = new NetnsLab();
  const [left, right] = await pair(lab);
  await using server = new TcpEchoServer(right, 7000);
  using client = await TcpClient.connect(left, { ip: RIGHT, port: 7000 }, { localPort: 7001 });
  assert.deepEqual(client.address, { ip: LEFT, port: 7001 });
  assert.equal(await client.exchange("hello"), "hello");
  assert.deepEqual([server.bytes, server.connections, client.retransmissions], [5, 1, 0]);
  assert.equal(client.take(), undefined);
  await assert.rejects(
    TcpClient.connect(left, { ip: RIGHT, port: 7002 }),
    { name: "SysError", code: "ECONNREFUSED" },
  );
  await assert.rejects(
    TcpClient.connect(left, { ip: NOBODY, port: 7000 }, { timeoutMs: 100 }),
    EventuallyError,
  );
});

Deno.test("TCP: the end of the stream is no bytes", async () => {
  await using lab = new NetnsLab();
  const [left, right] = await pair(lab);
  const server = new TcpEchoServer(right);
  using client = await TcpClient.connect(left, { ip: RIGHT, port: server.port });
  assert.equal(await client.exchange("last words"), "last words");
  await server[Symbol.asyncDispose]();
  const end = await eventually(() => client.take());
  assert.equal(end.length, 0);
});

Deno.test("UDP: datagrams with their senders", async () => {
  await using lab = new NetnsLab();
  const [left, right] = await pair(lab);
  using server = new UdpSocket(right, { port: 53 });
  using client = new UdpSocket(left, { ip: LEFT });
  client.send({ ip: RIGHT, port: 53 }, "?");
  const { from, data } = await server.next();
  assert.deepEqual([from, data.toHex()], [client.address, "3f"]);
  server.send(from, Uint8Array.of(1, 2));
  assert.deepEqual((await client.next()).from, { ip: RIGHT, port: 53 });
  assert.deepEqual(client.take(), []);
  await assert.rejects(client.next(50), EventuallyError);
});

Deno.test("ping tells the TTL, and fails without a reply", async () => {
  await using lab = new NetnsLab();
  const [left] = await pair(lab);
  assert.equal(await ping(left, RIGHT), 64);
  assert.equal(await ping(left, LEFT, { size: 5000 }), 64);
  await assert.rejects(ping(left, NOBODY, { timeoutMs: 100 }), EventuallyError);
});

const PACKETS: readonly (readonly [name: string, protocol: number, payload: TransportLayer])[] = [
  ["TCP", IpProtocol.TCP, tcp({ srcPort: 1, dstPort: 2, flags: "S" })],
  ["UDP", IpProtocol.UDP, udp({ srcPort: 1, dstPort: 2 }, "x")],
  ["SCTP", IpProtocol.SCTP, sctp({ srcPort: 1, dstPort: 2 }, [{ type: 1 }])],
  ["ICMP", IpProtocol.ICMP, icmpEcho({ id: 1 })],
];

for (const [name, protocol, payload] of PACKETS) {
  Deno.test(`one packet of ${name} is sent and seen`, async () => {
    await using lab = new NetnsLab();
    const [left, right] = await pair(lab);
    using receiver = new PacketReceiver(right, protocol);
    sendPacket(left, { src: LEFT, dst: RIGHT }, payload);
    const [packet] = await eventually(() => {
      const packets = receiver.take();
      return packets.length > 0 ? packets : undefined;
    });
    assert.deepEqual([packet?.src, packet?.dst], [LEFT, RIGHT]);
    assert.equal(packet?.payload.length, payload.build(Ipv4.parse(LEFT), Ipv4.parse(RIGHT)).length);
    assert.throws(() => sendPacket(left, { src: RIGHT, dst: LEFT }, payload), {
      code: "EADDRNOTAVAIL",
    });
  });
}
