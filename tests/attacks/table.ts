import type { DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import {
  arp,
  ethernet,
  type EthernetSpec,
  fragments,
  icmp,
  icmpError,
  IcmpType,
  ipv4,
  type Ipv4Spec,
  ipv6,
  rawNetwork,
  rawTransport,
  sctp,
  tcp,
  type TransportLayer,
  udp,
} from "../../shared/testing/packets.ts";

/** Who is there: two pods of one node, the node, and somebody outside. */
export const VICTIM = "10.244.0.2";
export const ATTACKER = "10.244.0.3";
export const GATEWAY = "10.244.0.1";
export const NODE = "192.0.2.10";
export const OUTSIDE = "192.0.2.1";
export const VICTIM_MAC = "02:fe:0a:f4:00:02";
export const ATTACKER_MAC = "02:fe:0a:f4:00:03";
export const GATEWAY_MAC = "02:fe:0a:f4:00:01";
/** Of the node's interface to the outside, and of the one there. */
export const NODE_MAC = "02:00:00:00:00:10";
export const OUTSIDE_MAC = "02:00:00:00:00:11";

/** The name of a drop reason. */
export type Reason = Exclude<keyof typeof DropReason, "UNSPECIFIED">;

/** What a pod may not send, and the like of it that it may: one row of docs/security.md. */
export interface Attack {
  /** The section that it stands in. */
  readonly topic: string;
  /** What is sent, in words of a user. */
  readonly name: string;
  /** Default the attacker's pod. */
  readonly from?: "outside";
  /** Why it drops. */
  readonly reason: Reason;
  /** In order and in itself, and delivered to the victim; then comes the attack. */
  readonly opening?: readonly Uint8Array[];
  /** Frames as the attacker's interface, or that of somebody outside, sends them; each one drops. */
  readonly frames: readonly Uint8Array[];
  /** Nearly the same, and delivered to the victim, frame by frame. */
  readonly twin?: { readonly name: string; readonly frames: readonly Uint8Array[] };
}

const PAYLOAD = udp({ srcPort: 4000, dstPort: 4001 }, "attack");
const SYN = { srcPort: 4002, dstPort: 4003, flags: "S" } as const;
const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";

/** @returns a frame from the attacker to the victim, but for what is said otherwise. */
export function frame(
  ip: Partial<Ipv4Spec> = {},
  link: Partial<EthernetSpec> = {},
  payload: TransportLayer = PAYLOAD,
): Uint8Array {
  return ethernet(
    { src: ATTACKER_MAC, dst: GATEWAY_MAC, ...link },
    ipv4({ src: ATTACKER, dst: VICTIM, ...ip }, payload),
  );
}

const carrying = (payload: TransportLayer, ip: Partial<Ipv4Spec> = {}) => frame(ip, {}, payload);
const other = (etherType: number, bytes: Uint8Array = new Uint8Array(46)) =>
  ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, rawNetwork(etherType, bytes));
const inIpv4 = ipv4({ src: ATTACKER, dst: VICTIM }, PAYLOAD).bytes;

/** From an address that is not the attacker's, to a pod, to the node and to the outside. */
const spoofed = (...sources: readonly string[]) =>
  sources.flatMap((src) =>
    ["10.244.0.2", "10.244.0.9", NODE, OUTSIDE].filter((dst) => dst !== src)
      .map((dst) => frame({ src, dst }))
  );

const arpFrame = (operation: 1 | 2, senderMac: string, senderIp: string, dst: string) =>
  ethernet({ src: senderMac, dst }, arp({ operation, senderMac, senderIp, targetIp: GATEWAY }));

/** A datagram of 64 bytes (with its UDP header), cut in pieces. */
const pieces = (id: number, sizes: readonly number[], spec: Partial<Ipv4Spec> = {}) =>
  fragments(
    { src: ATTACKER, dst: VICTIM, id, ...spec },
    udp({ srcPort: 4000, dstPort: 4001 }, "x".repeat(56)),
    sizes,
  ).map((piece) => ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, piece));

/** One piece of any bytes of a protocol. */
const piece = (id: number, at: number, more: boolean, bytes: number, protocol = 17) =>
  carrying(rawTransport(protocol, new Uint8Array(bytes)), {
    id,
    fragmentOffset: at,
    moreFragments: more,
  });

/** The first bytes of a segment, whose rest comes in another fragment. */
function firstOf(id: number, payload: TransportLayer, bytes: number): Uint8Array {
  const first = fragments({ src: ATTACKER, dst: VICTIM, id }, payload, [bytes])[0];
  if (first === undefined) throw new RangeError("no fragments");
  return ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, first);
}

const route = (type: number) => Uint8Array.of(type, 7, 4, 192, 0, 2, 1, 0);

/** A packet that the victim might have sent, for ICMP errors to quote. */
const fromVictim = (dst: string, srcPort: number) =>
  ipv4({ src: VICTIM, dst }, udp({ srcPort, dstPort: 9 }));

const SOURCES: readonly Omit<Attack, "topic">[] = [
  {
    name: "another pod's address as its source",
    reason: "SPOOFED_SOURCE_IP",
    frames: spoofed(VICTIM, "10.244.0.77"),
    twin: { name: "its own address", frames: [frame()] },
  },
  {
    name: "the gateway's address as its source",
    reason: "SPOOFED_SOURCE_IP",
    frames: spoofed(GATEWAY),
  },
  { name: "the node's address as its source", reason: "SPOOFED_SOURCE_IP", frames: spoofed(NODE) },
  {
    name: "a loopback address as its source",
    reason: "SPOOFED_SOURCE_IP",
    frames: spoofed("127.0.0.1", "127.255.255.254"),
  },
  {
    name: "a link-local address as its source",
    reason: "SPOOFED_SOURCE_IP",
    frames: spoofed("169.254.0.1", "169.254.169.254"),
  },
  {
    name: "an outside, multicast, broadcast or zero address as its source",
    reason: "SPOOFED_SOURCE_IP",
    frames: spoofed("198.51.100.9", OUTSIDE, "224.0.0.1", "255.255.255.255", "0.0.0.0"),
  },
  {
    name: "another MAC address than its own: another pod's, the gateway's, a multicast one",
    reason: "SPOOFED_SOURCE_MAC",
    frames: [VICTIM_MAC, GATEWAY_MAC, "02:fe:0a:f4:00:13", "01:00:5e:00:00:01", BROADCAST_MAC]
      .map((src) => frame({}, { src })),
  },
  {
    name: "ARP: a request, an answer for the gateway or another pod, an announcement; and RARP",
    reason: "UNSUPPORTED_ETHERTYPE",
    frames: [
      arpFrame(1, ATTACKER_MAC, ATTACKER, BROADCAST_MAC),
      arpFrame(2, ATTACKER_MAC, GATEWAY, VICTIM_MAC),
      arpFrame(2, ATTACKER_MAC, VICTIM, BROADCAST_MAC),
      arpFrame(1, VICTIM_MAC, VICTIM, GATEWAY_MAC),
      arpFrame(1, ATTACKER_MAC, OUTSIDE, GATEWAY_MAC),
      other(0x8035),
    ],
  },
];

const FRAGMENTS: readonly Omit<Attack, "topic">[] = [
  {
    name: "later fragments whose first one was not seen",
    reason: "FRAGMENT_ORPHAN",
    frames: [...pieces(3, [16, 24]).slice(1), ...pieces(4, [16], { dst: OUTSIDE }).slice(1)],
    twin: { name: "a datagram in fragments, in order", frames: pieces(5, [16, 24]) },
  },
  {
    name: "fragments in another order: the first one comes last",
    reason: "FRAGMENT_ORPHAN",
    frames: pieces(6, [24, 24]).slice(1).toReversed(),
  },
  {
    name: "a fragment that writes over what came before, and all that follows it",
    reason: "FRAGMENT_OVERLAP",
    opening: pieces(7, [24]).slice(0, 1),
    frames: [...pieces(7, [16, 24]).slice(1), ...pieces(7, [24]).slice(1)],
  },
  {
    name: "a second first fragment of one datagram",
    reason: "FRAGMENT_OVERLAP",
    opening: pieces(8, [24]).slice(0, 1),
    frames: [...pieces(8, [32]).slice(0, 1), ...pieces(8, [24]).slice(1)],
  },
  {
    name: "a fragment that rewrites TCP's flags (RFC 3128)",
    reason: "FRAGMENT_OVERLAP",
    opening: [firstOf(9, tcp(SYN, "0123456789"), 24)],
    frames: [piece(9, 8, false, 16, 6)],
    twin: {
      name: "TCP in fragments, its header in the first",
      frames: fragments({ src: ATTACKER, dst: VICTIM, id: 10 }, tcp(SYN, "x".repeat(40)), [24, 8])
        .map((each) => ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, each)),
    },
  },
  {
    name: "tiny first fragments, which end within the header of TCP or SCTP (RFC 1858)",
    reason: "MALFORMED",
    frames: [
      firstOf(11, tcp(SYN, "0123456789"), 8),
      firstOf(12, tcp(SYN, "0123456789"), 16),
      firstOf(13, sctp({ srcPort: 1, dstPort: 2 }, [{ type: 1, value: new Uint8Array(16) }]), 8),
      firstOf(14, tcp({ ...SYN, options: new Uint8Array(20).fill(1) }, "0123456789"), 24),
    ],
    twin: {
      name: "the smallest that hold the header: 8 bytes of UDP, then 8 at a time",
      frames: pieces(15, [8, 8, 8, 8, 8, 8, 8]),
    },
  },
  {
    name: "fragments without a byte, of no multiple of 8 bytes, and beyond the largest datagram",
    reason: "MALFORMED",
    frames: [
      piece(16, 0, true, 0),
      piece(17, 0, true, 20),
      piece(18, 8, true, 12),
      piece(19, 65528, false, 16),
      piece(20, 65528, false, 800, 1),
    ],
  },
];

const LINK: readonly Omit<Attack, "topic">[] = [
  {
    name: "IPv6, also with IPv4 inside, and router advertisements",
    reason: "IPV6",
    frames: [
      ethernet(
        { src: ATTACKER_MAC, dst: GATEWAY_MAC },
        ipv6({ nextHeader: 58 }, Uint8Array.of(133, 0, 0, 0)),
      ),
      ethernet({ src: ATTACKER_MAC, dst: "33:33:00:00:00:02" }, ipv6({ nextHeader: 4 }, inIpv4)),
      ethernet(
        { src: ATTACKER_MAC, dst: "33:33:00:00:00:01" },
        ipv6({ nextHeader: 58, hopLimit: 255 }, Uint8Array.of(134, 0, 0, 0, 64, 0, 7, 8)),
      ),
      other(0x86dd, new Uint8Array(4)),
    ],
  },
  {
    name: "a VLAN tag: one, a priority tag (VLAN 0), two (QinQ), three",
    reason: "VLAN",
    frames: [
      frame({}, { vlans: [{ id: 5 }] }),
      frame({}, { vlans: [{ id: 0, priority: 7 }] }),
      frame({}, { vlans: [{ id: 5, etherType: 0x88a8 }, { id: 6 }] }),
      frame({}, { vlans: [{ id: 5 }, { id: 6 }, { id: 7 }] }),
      frame({}, { vlans: [{ id: 0, etherType: 0x88a8 }] }),
    ],
  },
  {
    name:
      "other EtherTypes: MPLS, PPPoE, LLDP, EAPOL, MACsec, 0x9100 tags, 802.3 lengths, unknown ones",
    reason: "UNSUPPORTED_ETHERTYPE",
    frames: [
      ...[0x8847, 0x8863, 0x8864, 0x88cc, 0x888e, 0x88e5, 0x9100, 0x0026, 0x05dc, 0x88b5, 0xffff]
        .map((etherType) => other(etherType, inIpv4)),
      other(0x88b5, new Uint8Array(1)),
    ],
  },
];

const SHAPE: readonly Omit<Attack, "topic">[] = [
  {
    name: "IPv4 cut within its header or within that of what it carries",
    reason: "MALFORMED",
    frames: [
      frame().slice(0, 14 + 1),
      frame().slice(0, 14 + 19),
      frame().slice(0, 14 + 20),
      frame().slice(0, 14 + 27),
      carrying(tcp(SYN)).slice(0, 14 + 20 + 19),
      carrying(rawTransport(1, Uint8Array.of(8, 0, 0))),
      carrying(rawTransport(6, new Uint8Array(19))),
      carrying(rawTransport(17, new Uint8Array(7))),
      carrying(rawTransport(132, new Uint8Array(15))),
    ],
  },
  {
    name: "a total length that is longer than the frame, or shorter than the headers",
    reason: "MALFORMED",
    frames: [
      frame({ totalLength: 0 }),
      frame({ totalLength: 19 }),
      frame({ totalLength: 27 }),
      frame({ totalLength: 35 }),
      frame({ totalLength: 1000 }),
      frame({ totalLength: 65535 }),
      carrying(tcp(SYN), { totalLength: 39 }),
    ],
    twin: {
      name: "a shorter one, as Ethernet's padding makes it",
      frames: [Uint8Array.of(...frame(), ...new Uint8Array(18))],
    },
  },
  {
    name: "a wrong version or header length of IPv4",
    reason: "MALFORMED",
    frames: [
      ...[0, 4].map((ihl) => frame({ ihl })),
      frame({ ihl: 15 }),
      ...[0, 5, 6, 15].map((version) => frame({ version })),
    ],
  },
  {
    name: "a wrong data offset or impossible flags of TCP",
    reason: "MALFORMED",
    frames: [
      ...[0, 4, 6, 15].map((dataOffset) => carrying(tcp({ ...SYN, dataOffset }))),
      ...["", "SF", "SR", "SFRPAU", "PU"].map((flags) => carrying(tcp({ ...SYN, flags }))),
    ],
    twin: {
      name: "TCP options: MSS, SACK, timestamps, window scale, Fast Open, unknown ones",
      frames: [
        "020405b40402080a69a59611000000000103030a",
        "220a0102030405060708" + "0101",
        "fd06f98901020000",
        "01".repeat(40),
        "00000000",
      ].map((hex, index) =>
        carrying(tcp({ ...SYN, srcPort: 4100 + index, options: Uint8Array.fromHex(hex) }))
      ),
    },
  },
  {
    name: "a UDP length below its header's or beyond the packet",
    reason: "MALFORMED",
    frames: [0, 7, 15, 500, 65535].map((length) =>
      carrying(udp({ srcPort: 4000, dstPort: 4001, length }, "attack"))
    ),
    twin: {
      name: "a shorter one",
      frames: [carrying(udp({ srcPort: 4000, dstPort: 4001, length: 10 }, "attack"))],
    },
  },
  {
    name: "SCTP from or to port 0",
    reason: "MALFORMED",
    frames: [
      carrying(sctp({ srcPort: 0, dstPort: 9 }, [{ type: 1, value: new Uint8Array(16) }])),
      carrying(sctp({ srcPort: 9, dstPort: 0 }, [{ type: 1, value: new Uint8Array(16) }])),
    ],
  },
  {
    name: "IP options that steer: loose and strict source routes, also behind others",
    reason: "IP_OPTIONS",
    frames: [
      ...[131, 137].map((type) => frame({ options: route(type) })),
      frame({ options: Uint8Array.of(1, 1, 1, ...route(131)) }),
      frame({ options: Uint8Array.of(148, 4, 0, 0, ...route(137)) }),
      frame({ options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 1, ...route(131)) }),
    ],
    twin: {
      name: "IP options that do not: record route, timestamp, router alert, unknown ones",
      frames: [
        Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0),
        Uint8Array.of(68, 8, 5, 0, 0, 0, 0, 0),
        Uint8Array.of(148, 4, 0, 0),
        Uint8Array.of(30, 4, 1, 2),
      ].map((options) => frame({ options })),
    },
  },
  {
    name: "IP options that are no list: a length of 0 or 1, or beyond the header",
    reason: "MALFORMED",
    frames: [
      Uint8Array.of(7, 0, 0, 0),
      Uint8Array.of(7, 1, 0, 0),
      Uint8Array.of(7, 40, 4, 0),
      Uint8Array.of(1, 1, 1, 7),
    ].map((options) => frame({ options })),
  },
];

const DESTINATIONS: readonly Omit<Attack, "topic">[] = [
  {
    name: "multicast and broadcast: 224.0.0.0/4 and 255.255.255.255",
    reason: "MULTICAST",
    frames: [
      ...["224.0.0.1", "224.0.0.251", "239.1.2.3", "255.255.255.255"].map((dst) => frame({ dst })),
      frame({ dst: "224.0.0.251" }, { dst: "01:00:5e:00:00:fb" }),
      frame({ dst: "255.255.255.255" }, { dst: BROADCAST_MAC }),
    ],
  },
  {
    name:
      "an address of the pod CIDR that no pod has, its broadcast address and the gateway's among them",
    reason: "NO_ROUTE",
    frames: ["10.244.0.77", "10.244.0.255", "10.244.0.0", GATEWAY].map((dst) => frame({ dst })),
  },
  {
    name: "loopback, 0.0.0.0/8, 240.0.0.0/4 and its own address on the wire",
    reason: "INVALID_DESTINATION",
    frames: ["127.0.0.1", "0.0.0.0", "240.0.0.1", ATTACKER].map((dst) => frame({ dst })),
  },
  {
    name: "an address in a frame to everybody, to a group and to another pod's MAC",
    reason: "INVALID_DESTINATION",
    frames: [BROADCAST_MAC, "01:00:5e:00:00:01", VICTIM_MAC].flatMap((mac) =>
      [VICTIM, NODE, OUTSIDE].map((dst) => frame({ dst }, { dst: mac }))
    ),
    twin: { name: "in a frame to the gateway", frames: [frame()] },
  },
  {
    name: "another pod with a TTL that ends here",
    reason: "TTL_EXCEEDED",
    frames: [frame({ ttl: 1 }), frame({ ttl: 0 })],
    twin: { name: "a TTL of 2", frames: [frame({ ttl: 2 })] },
  },
];

const CONNECTIONS: readonly Omit<Attack, "topic">[] = [
  {
    name: "answers that nobody asked for: SYN-ACK, echo reply, INIT ACK",
    reason: "CONNTRACK_INVALID",
    frames: [
      carrying(tcp({ srcPort: 80, dstPort: 9, flags: "SA" })),
      carrying(icmp({ type: IcmpType.ECHO_REPLY, rest: 5 })),
      carrying(icmp({ type: 14, rest: 5 }, new Uint8Array(12))),
      carrying(sctp({ srcPort: 80, dstPort: 9 }, [{ type: 2, value: new Uint8Array(16) }])),
    ],
  },
  {
    name:
      "ICMP errors about packets that were never sent, about other pods' and with a forged quote",
    reason: "ICMP_UNRELATED",
    frames: [
      ...[3, 11, 12].map((type) => carrying(icmpError({ type }, fromVictim(ATTACKER, 5)))),
      carrying(icmpError({ type: 3, code: 4, rest: 576 }, fromVictim(OUTSIDE, 6))),
      carrying(icmpError({ type: 3, code: 1 }, ipv4({ src: ATTACKER, dst: VICTIM }, PAYLOAD))),
      carrying(
        icmpError(
          { type: 3, code: 3 },
          ipv4(
            { src: VICTIM, dst: ATTACKER, fragmentOffset: 8 },
            udp({ srcPort: 1, dstPort: 2 }),
          ),
        ),
      ),
    ],
  },
  {
    name: "ICMP redirects and source quench",
    reason: "ICMP_UNRELATED",
    frames: [4, 5].map((type) => carrying(icmpError({ type, code: 1 }, fromVictim(ATTACKER, 5)))),
  },
  {
    name: "ICMP errors that quote no whole IPv4 header",
    reason: "MALFORMED",
    frames: [
      carrying(icmp({ type: 3, code: 1 }, new Uint8Array(19))),
      carrying(icmp({ type: 3, code: 1 }, fromVictim(ATTACKER, 5).bytes.subarray(0, 24))),
      carrying(icmp({ type: 3, code: 1 }, new Uint8Array(28))),
    ],
  },
];

/** @returns a frame from outside to the victim, but for what is said otherwise. */
export const inbound = (ip: Partial<Ipv4Spec> = {}, payload: TransportLayer = PAYLOAD) =>
  ethernet(
    { src: OUTSIDE_MAC, dst: NODE_MAC },
    ipv4({ src: OUTSIDE, dst: VICTIM, ...ip }, payload),
  );

const INBOUND: readonly Omit<Attack, "topic">[] = [
  {
    name: "a pod's address as its source",
    from: "outside",
    reason: "SPOOFED_SOURCE_IP",
    frames: [inbound({ src: ATTACKER })],
    twin: { name: "its own address", frames: [inbound()] },
  },
  {
    name: "an address of the pod CIDR that no pod has as its source",
    from: "outside",
    reason: "NO_IDENTITY",
    frames: ["10.244.0.77", "10.244.0.255", GATEWAY].map((src) => inbound({ src })),
  },
  {
    name: "later fragments whose first one was not seen",
    from: "outside",
    reason: "FRAGMENT_ORPHAN",
    frames: [inbound({ id: 30, fragmentOffset: 24 }, rawTransport(17, new Uint8Array(16)))],
    twin: {
      name: "a datagram in fragments, in order",
      frames: fragments(
        { src: OUTSIDE, dst: VICTIM, id: 31 },
        udp({ srcPort: 4000, dstPort: 4001 }, "x".repeat(56)),
        [16, 24],
      ).map((each) => ethernet({ src: OUTSIDE_MAC, dst: NODE_MAC }, each)),
    },
  },
  {
    name: "answers that nobody asked for",
    from: "outside",
    reason: "CONNTRACK_INVALID",
    frames: [
      inbound({}, tcp({ srcPort: 80, dstPort: 9, flags: "SA" })),
      inbound({}, icmp({ type: IcmpType.ECHO_REPLY, rest: 5 })),
    ],
  },
  {
    name: "ICMP errors about packets that were never sent, and redirects",
    from: "outside",
    reason: "ICMP_UNRELATED",
    frames: [
      inbound({}, icmpError({ type: 3, code: 4, rest: 576 }, fromVictim(OUTSIDE, 6))),
      inbound({}, icmpError({ type: 5, code: 1 }, fromVictim(OUTSIDE, 6))),
    ],
  },
  {
    name: "lengths of TCP, UDP and fragments that are wrong",
    from: "outside",
    reason: "MALFORMED",
    frames: [
      inbound({}, tcp({ ...SYN, dataOffset: 15 })),
      inbound({}, udp({ srcPort: 1, dstPort: 2, length: 500 }, "attack")),
      inbound({ id: 32, moreFragments: true }, rawTransport(6, new Uint8Array(8))),
    ],
  },
];

const TOPICS: Readonly<Record<string, readonly Omit<Attack, "topic">[]>> = {
  "Who it says it is": SOURCES,
  "What is not plain IPv4": LINK,
  "Headers and lengths": SHAPE,
  "Fragments": FRAGMENTS,
  "Where it goes": DESTINATIONS,
  "What belongs to no connection": CONNECTIONS,
  "From outside of the node": INBOUND,
};

/** All of them, by topic. */
export const ATTACKS: readonly Attack[] = Object.entries(TOPICS).flatMap(([topic, rows]) =>
  rows.map((row) => ({ topic, ...row }))
);

/** @returns the first fragment of a datagram between pods, whose rest never comes. */
export function firstFragment(src: string, dst: string, id: number): Uint8Array {
  return ethernet(
    { src: Mac.forPod(Ipv4.parse(src)), dst: GATEWAY_MAC },
    ipv4(
      { src, dst, id, moreFragments: true },
      udp({ srcPort: 4000, dstPort: 4001 }, "x".repeat(16)),
    ),
  );
}
