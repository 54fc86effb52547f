import assert from "node:assert/strict";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Mac } from "../../shared/net/mod.ts";
import {
  arp,
  ethernet,
  type EthernetSpec,
  fragments,
  icmp,
  IcmpType,
  ipv4,
  type Ipv4Spec,
  ipv6,
  rawNetwork,
  rawTransport,
  tcp,
  udp,
  viewOf,
} from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { scenario } from "./scenario.ts";

const VICTIM = "10.244.0.2";
const ATTACKER = "10.244.0.3";
const NODE = "192.0.2.10";
const OUTSIDE = "192.0.2.1";
const VICTIM_MAC = "02:fe:0a:f4:00:02";
const ATTACKER_MAC = "02:fe:0a:f4:00:03";
const GATEWAY_MAC = "02:fe:0a:f4:00:01";
const MARKER_PORT = 7777;

type Reason = keyof typeof DropReason;

/** Frames that a pod sends, and why they drop. */
interface Attack {
  readonly what: string;
  readonly frames: readonly Uint8Array[];
  /** Of each frame, unless there is one reason for all. */
  readonly reasons: Reason | readonly (Reason | "passes")[];
}

const PAYLOAD = udp({ srcPort: 4000, dstPort: 4001 }, "attack");

function frame(
  ip: Partial<Ipv4Spec> = {},
  link: Partial<EthernetSpec> = {},
  payload = PAYLOAD,
): Uint8Array {
  return ethernet(
    { src: ATTACKER_MAC, dst: GATEWAY_MAC, ...link },
    ipv4({ src: ATTACKER, dst: VICTIM, ...ip }, payload),
  );
}

/** Everywhere that an attack could be aimed at. */
const everywhere = (build: (dst: string) => Uint8Array) => [VICTIM, NODE, OUTSIDE].map(build);

const arpFrame = (operation: 1 | 2, senderMac: string, senderIp: string, dst: string) =>
  ethernet({ src: senderMac, dst }, arp({ operation, senderMac, senderIp, targetIp: VICTIM }));

const pieces = (id: number, spec: Partial<Ipv4Spec> = {}) =>
  fragments(
    { src: ATTACKER, dst: VICTIM, id, ...spec },
    udp({ srcPort: 4000, dstPort: 4001 }, "x".repeat(56)),
    [16, 24],
  ).map((piece) => ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, piece));

const whole = pieces(1);
const overlapping = fragments(
  { src: ATTACKER, dst: VICTIM, id: 2 },
  udp({ srcPort: 4000, dstPort: 4001 }, "y".repeat(56)),
  [24],
).map((piece) => ethernet({ src: ATTACKER_MAC, dst: GATEWAY_MAC }, piece));

const ATTACKS: readonly Attack[] = [
  {
    what: "another pod's address",
    frames: everywhere((dst) => frame({ src: VICTIM, dst: dst === VICTIM ? "10.244.0.9" : dst })),
    reasons: "SPOOFED_SOURCE_IP",
  },
  {
    what: "the node's address",
    frames: everywhere((dst) => frame({ src: NODE, dst })),
    reasons: "SPOOFED_SOURCE_IP",
  },
  {
    what: "the gateway's address",
    frames: everywhere((dst) => frame({ src: "10.244.0.1", dst })),
    reasons: "SPOOFED_SOURCE_IP",
  },
  {
    what: "addresses of nobody: outside, loopback, multicast, zero, broadcast",
    frames: ["198.51.100.9", "127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"]
      .map((src) => frame({ src })),
    reasons: "SPOOFED_SOURCE_IP",
  },
  {
    what: "another MAC address",
    frames: [VICTIM_MAC, GATEWAY_MAC, "02:00:00:00:00:01"].map((src) => frame({}, { src })),
    reasons: "SPOOFED_SOURCE_MAC",
  },
  {
    what: "ARP, asking, answering and unasked",
    frames: [
      arpFrame(1, ATTACKER_MAC, ATTACKER, "ff:ff:ff:ff:ff:ff"),
      arpFrame(2, ATTACKER_MAC, "10.244.0.1", VICTIM_MAC),
      arpFrame(2, ATTACKER_MAC, VICTIM, "ff:ff:ff:ff:ff:ff"),
      arpFrame(1, ATTACKER_MAC, OUTSIDE, GATEWAY_MAC),
    ],
    reasons: "UNSUPPORTED_ETHERTYPE",
  },
  {
    what: "VLAN tags, one and two",
    frames: [
      frame({}, { vlans: [{ id: 0 }] }),
      frame({}, { vlans: [{ id: 5 }] }),
      frame({}, { vlans: [{ id: 5, etherType: 0x88a8 }, { id: 6 }] }),
      frame({}, { vlans: [{ id: 5 }, { id: 6 }, { id: 7 }] }),
    ],
    reasons: "VLAN",
  },
  {
    what: "IPv6, also with IPv4 inside",
    frames: [
      ethernet(
        { src: ATTACKER_MAC, dst: GATEWAY_MAC },
        ipv6({ nextHeader: 58 }, Uint8Array.of(133, 0, 0, 0)),
      ),
      ethernet(
        { src: ATTACKER_MAC, dst: "33:33:00:00:00:02" },
        ipv6({ nextHeader: 4 }, ipv4({ src: ATTACKER, dst: VICTIM }, PAYLOAD).bytes),
      ),
    ],
    reasons: "IPV6",
  },
  {
    what: "other EtherTypes: MPLS, PPPoE, LLDP, EAPOL, 802.3 lengths",
    frames: [0x8847, 0x8863, 0x88cc, 0x888e, 0x0026, 0x0001].map((etherType) =>
      ethernet(
        { src: ATTACKER_MAC, dst: GATEWAY_MAC },
        rawNetwork(etherType, ipv4({ src: ATTACKER, dst: VICTIM }, PAYLOAD).bytes),
      )
    ),
    reasons: "UNSUPPORTED_ETHERTYPE",
  },
  {
    what: "IPv4 that is cut short or lies about its length",
    frames: [
      frame().slice(0, 14 + 19),
      frame().slice(0, 14 + 20),
      frame().slice(0, 14 + 27),
      frame({ totalLength: 19 }),
      frame({ totalLength: 1000 }),
      frame({ ihl: 4 }),
      frame({ ihl: 15 }),
      frame({ version: 6 }),
      frame({}, {}, tcp({ srcPort: 1, dstPort: 2, flags: "S" })).slice(0, 14 + 20 + 19),
      frame({}, {}, tcp({ srcPort: 1, dstPort: 2, flags: "S", dataOffset: 4 })),
      frame({}, {}, rawTransport(1, Uint8Array.of(8, 0, 0))),
    ],
    reasons: "MALFORMED",
  },
  {
    what: "source routes",
    frames: [131, 137].map((type) =>
      frame({ options: Uint8Array.of(type, 7, 4, 192, 0, 2, 1, 0) })
    ),
    reasons: "IP_OPTIONS",
  },
  {
    what: "later fragments without a first",
    frames: [...pieces(3).slice(1), ...pieces(4, { dst: OUTSIDE }).slice(1)],
    reasons: "FRAGMENT_ORPHAN",
  },
  {
    what: "a fragment that writes over what was there",
    // The second piece of the first way of cutting starts within the first of the other.
    frames: [overlapping[0], ...pieces(2).slice(1, 2)].filter((each) => each !== undefined),
    reasons: ["passes", "FRAGMENT_OVERLAP"],
  },
  {
    what: "multicast and broadcast",
    frames: ["224.0.0.251", "239.1.2.3", "255.255.255.255"].map((dst) => frame({ dst })),
    reasons: "MULTICAST",
  },
  {
    what: "addresses that are nobody's: loopback, zero, class E, the sender's own",
    frames: ["127.0.0.1", "0.0.0.0", "240.0.0.1", ATTACKER].map((dst) => frame({ dst })),
    reasons: "INVALID_DESTINATION",
  },
  {
    what: "answers that nobody asked for",
    frames: [
      frame({}, {}, tcp({ srcPort: 80, dstPort: 9, flags: "SA" })),
      frame({}, {}, icmp({ type: IcmpType.ECHO_REPLY, rest: 5 })),
    ],
    reasons: "CONNTRACK_INVALID",
  },
  {
    what: "ICMP errors and redirects about nothing",
    frames: [
      frame(
        {},
        {},
        icmp({ type: 3, code: 1 }, ipv4({ src: VICTIM, dst: ATTACKER }, PAYLOAD).bytes),
      ),
      frame(
        {},
        {},
        icmp({ type: 5, code: 1 }, ipv4({ src: VICTIM, dst: ATTACKER }, PAYLOAD).bytes),
      ),
    ],
    reasons: "ICMP_UNRELATED",
  },
  {
    what: "a TTL that ends here",
    frames: [frame({ ttl: 1 }), frame({ ttl: 0 })],
    reasons: "TTL_EXCEEDED",
  },
];

/** The datagram that shows that everything sent before it has been dealt with. */
const marker = (dst: string) =>
  frame({ dst }, {}, udp({ srcPort: MARKER_PORT, dstPort: MARKER_PORT }, "marker"));

function isMarker(bytes: Uint8Array): boolean {
  return bytes.length === 14 + 20 + 8 + 6 && viewOf(bytes).getUint16(36) === MARKER_PORT;
}

scenario("what a pod may not send", {}, async ({ lab, node, step }) => {
  const victim = await node.addPod("victim");
  const attacker = await node.addPod("attacker");
  assert.deepEqual([victim.ip, attacker.ip], [VICTIM, ATTACKER]);
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const link = lab.own(new RawLink(attacker.netns, "eth0"));
  const atVictim = lab.own(new RawLink(victim.netns, "eth0"));
  using links = node.netns.rtnetlink();
  const uplinkMac = links.linkGet("uplink").mac;
  assert(uplinkMac);
  // What the node's own stack says at times is no attack: ARP, and IPv6 to its neighbours from its own MAC.
  const notOwn = (bytes: Uint8Array) => {
    const fromUplink = Mac.fromBytes(bytes.subarray(6, 12)).equals(uplinkMac);
    return viewOf(bytes).getUint16(12) !== 0x0806 &&
      !(fromUplink && viewOf(bytes).getUint16(0) === 0x3333);
  };
  const atOutside = lab.own(new RawLink(node.outside, "node", notOwn));
  const counters = async () => (await dataplane.getDataplaneStatus({})).dropCounters;

  for (const { what, frames, reasons } of ATTACKS) {
    const each = typeof reasons === "string" ? frames.map(() => reasons) : reasons;
    await step(`${what}: dropped as ${[...new Set(each)].join(", ")}`, async () => {
      const before = await counters();
      for (const bytes of frames) link.send(bytes);
      link.send(marker(VICTIM));
      link.send(marker(OUTSIDE));
      const passing = each.filter((reason) => reason === "passes").length;
      for (let count = 0; count < passing; count++) await atVictim.next();
      await atVictim.expectNothingBefore(isMarker);
      await atOutside.expectNothingBefore(isMarker);
      const after = await counters();
      const counted = Object.entries(after)
        .map(([reason, count]) =>
          [DropReason[Number(reason)], Number(count - (before[Number(reason)] ?? 0n))] as const
        )
        .filter(([, count]) => count > 0);
      const expected = new Map<string, number>();
      for (const reason of each) {
        if (reason !== "passes") expected.set(reason, (expected.get(reason) ?? 0) + 1);
      }
      assert.deepEqual(counted, [...expected]);
    });
  }

  await step("a whole datagram in fragments still arrives", async () => {
    for (const piece of whole) link.send(piece);
    for (const _ of whole) await atVictim.next();
  });

  await step("the counters have names in novanetctl", async () => {
    const metrics = await node.ctl("metrics");
    for (const reason of ["SPOOFED_SOURCE_IP", "VLAN", "IPV6", "FRAGMENT_ORPHAN"]) {
      assert.match(metrics, new RegExp(reason));
    }
  });

  await step("a pod's address does not work from outside or from another interface", async () => {
    const before = (await counters())[DropReason.SPOOFED_SOURCE_IP] ?? 0n;
    using uplink = new RawLink(node.outside, "node", notOwn);
    uplink.send(
      ethernet(
        { src: "02:00:00:00:00:01", dst: uplinkMac },
        ipv4({ src: ATTACKER, dst: VICTIM }, PAYLOAD),
      ),
    );
    await eventually(async () => ((await counters())[DropReason.SPOOFED_SOURCE_IP] ?? 0n) > before);
    assert.deepEqual(atVictim.take(), []);
  });
});
