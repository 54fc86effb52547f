/** What a pod may not send at all, and what it may: one packet each through pod_egress and pod_ingress. */
import assert from "node:assert/strict";
import { IpProtocol, Mac } from "../../shared/net/mod.ts";
import {
  arp,
  ethernet,
  icmp,
  icmpEcho,
  ipv4,
  ipv6,
  rawNetwork,
  rawTransport,
  sctp,
  tcp,
  udp,
} from "../../shared/testing/packets.ts";
import { GATEWAY_MAC } from "./datapath.ts";
import {
  A,
  arriving,
  assertDelivered,
  B,
  HOST,
  makeWorld,
  OUTSIDE,
  sent,
  UPLINK,
} from "./world.ts";

const SYN = tcp({ srcPort: 40_000, dstPort: 80, flags: "S" });
const FROM_A = { src: Mac.parse("02:fe:0a:f4:00:02"), dst: GATEWAY_MAC };
const routeOption = (type: number) => Uint8Array.of(type, 7, 4, 192, 0, 2, 99);

const DROPPED: readonly { name: string; packet: Uint8Array; reason: string }[] = [
  {
    name: "ARP",
    packet: ethernet(
      FROM_A,
      arp({
        operation: 1,
        senderMac: FROM_A.src,
        senderIp: A,
        targetMac: "00:00:00:00:00:00",
        targetIp: "10.244.0.1",
      }),
    ),
    reason: "UNSUPPORTED_ETHERTYPE",
  },
  {
    name: "an EtherType that nobody knows",
    packet: ethernet(FROM_A, rawNetwork(0x88b5, new Uint8Array(46))),
    reason: "UNSUPPORTED_ETHERTYPE",
  },
  {
    name: "an 802.3 length field",
    packet: ethernet(FROM_A, rawNetwork(46, new Uint8Array(46))),
    reason: "UNSUPPORTED_ETHERTYPE",
  },
  {
    name: "IPv6",
    packet: ethernet(
      FROM_A,
      ipv6({ src: new Uint8Array(16), dst: new Uint8Array(16), nextHeader: 58 }, new Uint8Array(8)),
    ),
    reason: "IPV6",
  },
  {
    name: "a VLAN tag",
    packet: ethernet({ ...FROM_A, vlans: [{ id: 7 }] }, ipv4({ src: A, dst: B }, SYN)),
    reason: "VLAN",
  },
  {
    name: "two VLAN tags",
    packet: ethernet(
      { ...FROM_A, vlans: [{ id: 7, etherType: 0x88a8 }, { id: 8 }] },
      ipv4({ src: A, dst: B }, SYN),
    ),
    reason: "VLAN",
  },
  ...[
    "10.244.0.3",
    "10.244.0.1",
    HOST,
    "127.0.0.1",
    "169.254.1.1",
    "0.0.0.0",
    OUTSIDE,
    "255.255.255.255",
  ]
    .map((src) => ({
      name: `source ${src}`,
      packet: ethernet(FROM_A, ipv4({ src, dst: B }, SYN)),
      reason: "SPOOFED_SOURCE_IP",
    })),
  {
    name: "another MAC",
    packet: ethernet({ ...FROM_A, src: "02:fe:0a:f4:00:03" }, ipv4({ src: A, dst: B }, SYN)),
    reason: "SPOOFED_SOURCE_MAC",
  },
  {
    name: "a MAC that differs in its last byte",
    packet: ethernet({ ...FROM_A, src: "02:fe:0a:f4:00:ff" }, ipv4({ src: A, dst: B }, SYN)),
    reason: "SPOOFED_SOURCE_MAC",
  },
  ...([
    ["version", { version: 6 }],
    ["header length 4", { ihl: 4 }],
    ["header beyond the packet", { ihl: 15 }],
    [
      "total length beyond the packet",
      { totalLength: 1400 },
    ],
    ["total length below the header", { totalLength: 12 }],
    ["total length 0", { totalLength: 0 }],
    [
      "total length that cuts TCP",
      { totalLength: 30 },
    ],
  ] as const).map(([name, spec]) => ({
    name: `IPv4 with a wrong ${name}`,
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B, ...spec }, SYN)),
    reason: "MALFORMED",
  })),
  {
    name: "a loose source route",
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B, options: routeOption(131) }, SYN)),
    reason: "IP_OPTIONS",
  },
  {
    name: "a strict source route behind padding",
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B, options: Uint8Array.of(1, 1, ...routeOption(137)) }, SYN),
    ),
    reason: "IP_OPTIONS",
  },
  {
    name: "an option of length 0",
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B, options: Uint8Array.of(7, 0, 0, 0) }, SYN)),
    reason: "MALFORMED",
  },
  {
    name: "an option longer than the header",
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B, options: Uint8Array.of(7, 40, 4, 0) }, SYN)),
    reason: "MALFORMED",
  },
  ...[["no flags", ""], ["SYN and FIN", "SF"], ["SYN and RST", "SR"]].map(([name, flags]) => ({
    name: `TCP with ${name}`,
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, tcp({ srcPort: 1, dstPort: 2, flags: flags ?? "" })),
    ),
    reason: "MALFORMED",
  })),
  ...[4, 15].map((dataOffset) => ({
    name: `TCP with data offset ${dataOffset}`,
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, tcp({ srcPort: 1, dstPort: 2, flags: "S", dataOffset })),
    ),
    reason: "MALFORMED",
  })),
  ...[0, 7, 500].map((length) => ({
    name: `UDP that says ${length} bytes`,
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, udp({ srcPort: 1, dstPort: 2, length }, "data")),
    ),
    reason: "MALFORMED",
  })),
  {
    name: "ICMP cut short",
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, rawTransport(IpProtocol.ICMP, Uint8Array.of(8, 0, 0, 0))),
    ),
    reason: "MALFORMED",
  },
  {
    name: "SCTP from port 0",
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, sctp({ srcPort: 0, dstPort: 80 }, [{ type: 1 }])),
    ),
    reason: "MALFORMED",
  },
  ...([
    ["224.0.0.1", "MULTICAST"],
    ["239.1.2.3", "MULTICAST"],
    ["255.255.255.255", "MULTICAST"],
    [
      "127.0.0.1",
      "INVALID_DESTINATION",
    ],
    ["0.0.0.0", "INVALID_DESTINATION"],
    ["240.0.0.1", "INVALID_DESTINATION"],
    [A, "INVALID_DESTINATION"],
    [
      "10.244.0.77",
      "NO_ROUTE",
    ],
    ["10.244.0.255", "NO_ROUTE"],
  ] as const).map(([dst, reason]) => ({
    name: `destination ${dst}`,
    packet: ethernet(FROM_A, ipv4({ src: A, dst }, udp({ srcPort: 1, dstPort: 2 }))),
    reason,
  })),
  ...["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "02:fe:0a:f4:00:03"].map((dst) => ({
    name: `a pod's address in a frame to ${dst}`,
    packet: ethernet({ ...FROM_A, dst }, ipv4({ src: A, dst: B }, udp({ srcPort: 1, dstPort: 2 }))),
    reason: "INVALID_DESTINATION",
  })),
  {
    name: "a SYN-ACK that answers nothing",
    packet: ethernet(
      FROM_A,
      ipv4({ src: A, dst: B }, tcp({ srcPort: 80, dstPort: 4, flags: "SA" })),
    ),
    reason: "CONNTRACK_INVALID",
  },
  {
    name: "an echo reply that answers nothing",
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B }, icmpEcho({ reply: true, id: 9 }))),
    reason: "CONNTRACK_INVALID",
  },
  ...[3, 4, 5, 11, 12].map((type) => ({
    name: `ICMP error ${type} about nothing`,
    packet: ethernet(
      FROM_A,
      ipv4(
        { src: A, dst: B },
        icmp({ type }, ipv4({ src: B, dst: A }, udp({ srcPort: 5, dstPort: 6 })).bytes),
      ),
    ),
    reason: "ICMP_UNRELATED",
  })),
  ...[0, 1].map((ttl) => ({
    name: `TTL ${ttl}`,
    packet: ethernet(FROM_A, ipv4({ src: A, dst: B, ttl }, SYN)),
    reason: "TTL_EXCEEDED",
  })),
];

Deno.test("pod_egress drops what a pod may not send", async (t) => {
  await using world = await makeWorld();
  for (const { name, packet, reason } of DROPPED) {
    await t.step(name, () => {
      const outcome = world.datapath.run("pod_egress", packet, world.a);
      assert.deepEqual({ verdict: outcome.verdict, reason: outcome.reason }, {
        verdict: "drop",
        reason,
      });
    });
  }
});

Deno.test("pod_egress delivers what is in order, byte for byte", async (t) => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  const payloads = [
    ["TCP SYN", SYN, {}],
    [
      "TCP with options",
      tcp({ srcPort: 2, dstPort: 80, flags: "S", options: Uint8Array.of(2, 4, 5, 180) }),
      {},
    ],
    ["UDP", udp({ srcPort: 5000, dstPort: 53 }, "query"), {}],
    ["UDP without checksum", udp({ srcPort: 5001, dstPort: 53, checksum: 0 }, "query"), {}],
    ["ICMP echo", icmpEcho({ id: 77 }), {}],
    [
      "SCTP INIT",
      sctp({ srcPort: 3000, dstPort: 3001 }, [{ type: 1, value: new Uint8Array(16) }]),
      {},
    ],
    ["GRE", rawTransport(47, new Uint8Array(8)), {}],
    ["TTL 2", udp({ srcPort: 5002, dstPort: 53 }), { ttl: 2 }],
    ["an IP option that does not steer", udp({ srcPort: 5003, dstPort: 53 }), {
      options: Uint8Array.of(148, 4, 0, 0),
    }],
  ] as const;
  for (const [name, payload, spec] of payloads) {
    await t.step(name, () => {
      const outcome = datapath.run("pod_egress", sent(a, B, payload, spec), a);
      assertDelivered(outcome, b, a, payload, spec);
    });
  }
  await t.step("to the outside: on to the host's stack, unchanged", () => {
    const packet = sent(a, OUTSIDE, SYN);
    const outcome = datapath.run("pod_egress", packet, a);
    assert.equal(outcome.verdict, "pass");
    assert.deepEqual(outcome.packet, packet);
  });
});

Deno.test("an interface without a pod is closed in both directions", async () => {
  await using world = await makeWorld();
  const { a, datapath } = world;
  datapath.removePod(a);
  for (
    const [hook, packet] of [
      ["pod_egress", sent(a, B, SYN)],
      ["pod_ingress", arriving(a, HOST, SYN)],
    ] as const
  ) {
    const { verdict, reason } = datapath.run(hook, packet, a);
    assert.deepEqual({ verdict, reason }, { verdict: "drop", reason: "ENDPOINT_NOT_READY" });
  }
});

Deno.test("pod_ingress knows who sent a packet", async (t) => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  const rows = [
    { name: "this host", src: HOST, from: 0, expected: "pass" },
    { name: "outside", src: OUTSIDE, from: UPLINK, expected: "pass" },
    { name: "a pod's address from outside", src: B, from: UPLINK, expected: "SPOOFED_SOURCE_IP" },
    { name: "a pod by way of the host's stack", src: B, from: b.ifindex, expected: "pass" },
    {
      name: "an address of the pod CIDR that nobody has",
      src: "10.244.0.99",
      from: UPLINK,
      expected: "NO_IDENTITY",
    },
  ] as const;
  for (const [index, { name, src, from, expected }] of rows.entries()) {
    await t.step(name, () => {
      const payload = tcp({ srcPort: 50_000 + index, dstPort: 80, flags: "S" });
      const outcome = datapath.run("pod_ingress", arriving(a, src, payload), {
        ifindex: a.ifindex,
        ingressIfindex: from,
      });
      assert.equal(outcome.reason ?? outcome.verdict, expected);
    });
  }
  await t.step("another pod's packet on this interface", () => {
    const outcome = datapath.run("pod_ingress", arriving(b, HOST, SYN), a);
    assert.equal(outcome.reason, "INVALID_DESTINATION");
  });
});
