import type { Ipv4 } from "../../../shared/net/mod.ts";
import { IpProtocol, Mac } from "../../../shared/net/mod.ts";
import { ethernet, icmpEcho, ipv4, tcp, udp, viewOf } from "../../../shared/testing/packets.ts";
import { ATTACKS } from "../../attacks/table.ts";
import { type DatapathPod, EGRESS, GATEWAY_MAC, INGRESS } from "../../datapath/datapath.ts";
import { A, B, HOST, makeWorld, OUTSIDE, UPLINK, type World } from "../../datapath/world.ts";
import { type FuzzTarget, must } from "../target.ts";

/** Of an input, before the packet: the hook and where the packet comes from; segments. */
const HEAD_BYTES = 2;
const ETH_HLEN = 14;
/** Headers by EtherType that BPF_PROG_TEST_RUN wants whole; tests/attacks sends shorter ones. */
const LEAST_PAYLOAD: Readonly<Record<number, number>> = { 0x0800: 20, 0x86dd: 40 };
const MOST_FRAME = 1800;
/** No rule lets this protocol through, neither from pod to pod nor from outside. */
const DENIED_PROTOCOL = 99;
const COLLECT_EVERY = 4096;
const MAX_SEGMENTS = 8;
const ETHERTYPE_IPV4 = 0x0800;

interface Case {
  readonly hook: "pod_egress" | "pod_ingress";
  /** 0: pod A's interface, 1: pod B's, 2: one without a pod. */
  readonly iface: number;
  readonly ingressIfindex: number;
  readonly segments: number;
  readonly packet: Uint8Array;
}

function caseOf(input: Uint8Array, { a, b }: World): Case {
  const [head = 0, segments = 0] = input;
  return {
    hook: head & 1 ? "pod_ingress" : "pod_egress",
    iface: (head >> 1) % 3,
    ingressIfindex: [0, UPLINK, a.ifindex, b.ifindex][(head >> 4) & 3]!,
    segments: segments % MAX_SEGMENTS,
    packet: input.subarray(HEAD_BYTES, HEAD_BYTES + MOST_FRAME),
  };
}

function isRunnable(packet: Uint8Array): boolean {
  if (packet.length <= ETH_HLEN) return false;
  return packet.length >= ETH_HLEN + (LEAST_PAYLOAD[viewOf(packet).getUint16(12)] ?? 1);
}

/** The head of a packet as a plain reader of RFC 791 sees it; undefined when there is no whole one. */
function headOf(packet: Uint8Array) {
  if (packet.length < ETH_HLEN + 20) return undefined;
  const view = viewOf(packet);
  const headerBytes = (packet[14]! & 0xf) * 4;
  return {
    etherType: view.getUint16(12),
    srcMac: packet.subarray(6, 12),
    dstMac: packet.subarray(0, 6),
    version: packet[14]! >> 4,
    headerBytes,
    totalBytes: view.getUint16(16),
    ttl: packet[22]!,
    protocol: packet[23]!,
    src: view.getUint32(26),
    dst: view.getUint32(30),
    options: packet.subarray(34, 14 + headerBytes),
  };
}

function hasSourceRoute(options: Uint8Array): boolean {
  for (let at = 0; at < options.length;) {
    const type = options[at]!;
    if (type === 0) return false;
    if (type === 131 || type === 137) return true;
    at += type === 1 ? 1 : Math.max(2, options[at + 1] ?? 2);
  }
  return false;
}

const isUnicast = (ip: number) => ip >>> 24 !== 0 && ip >>> 24 !== 127 && ip >>> 24 < 224;
const sameMac = (bytes: Uint8Array, mac: Mac) => Mac.fromBytes(bytes).equals(mac);
const isIp = (number: number, ip: Ipv4) => number === ip.toU32();

/** What must hold of a packet that got through, whatever it was. */
function checkPassed(
  given: Case,
  pod: DatapathPod,
  other: DatapathPod,
  redirected: Uint8Array | undefined,
) {
  const head = headOf(given.packet);
  must(head !== undefined, "what has no whole IPv4 header passes");
  must(head.etherType === ETHERTYPE_IPV4 && head.version === 4, "what is not IPv4 passes");
  must(
    head.headerBytes >= 20 && head.totalBytes + 14 <= given.packet.length,
    "a wrong length passes",
  );
  must(head.totalBytes >= head.headerBytes || head.totalBytes === 0, "a wrong total length passes");
  must(head.protocol !== DENIED_PROTOCOL, "a protocol that policy denies passes");
  must(!hasSourceRoute(head.options), "a source route passes");
  if (given.hook === "pod_ingress") {
    must(redirected === undefined, "a packet is sent on from the ingress hook");
    must(isIp(head.dst, pod.ip), "another address's packet reaches the pod");
    const forged = isIp(head.src, other.ip) && given.ingressIfindex === UPLINK;
    must(!forged, "another pod's address from outside passes");
    return;
  }
  must(isIp(head.src, pod.ip), "a source that is not the pod's passes");
  must(sameMac(head.srcMac, pod.mac), "a MAC that is not the pod's passes");
  must(isUnicast(head.dst), "a destination that is nobody's passes");
  must(!isIp(head.dst, pod.ip), "a pod's packet to itself passes");
  if (redirected === undefined) {
    must(!isIp(head.dst, other.ip), "a packet for a pod here goes to the stack");
    return;
  }
  const sent = headOf(redirected)!;
  must(isIp(head.dst, other.ip), "a packet goes to a pod that it is not for");
  must(
    sameMac(sent.dstMac, other.mac) && sameMac(sent.srcMac, GATEWAY_MAC),
    "wrong link addresses",
  );
  must(sent.ttl === head.ttl - 1 && head.ttl > 1, "a wrong TTL");
  const changed = (at: number) => at >= 12 && at !== 22 && at !== 24 && at !== 25;
  must(
    redirected.every((byte, at) => !changed(at) || byte === given.packet[at]),
    "more than addresses, TTL and checksum changed",
  );
}

function addPolicy({ datapath, a, b }: World): void {
  datapath.addRule({ action: "deny", ruleId: 20, direction: EGRESS, protocol: DENIED_PROTOCOL });
  datapath.addRule({ action: "deny", ruleId: 21, direction: INGRESS, protocol: DENIED_PROTOCOL });
  const web = { protocol: IpProtocol.TCP, dstPort: 80, prefixLen: 16, direction: INGRESS };
  datapath.addRule({ action: "allow", ruleId: 22, ...web, dstIdentity: b.identity });
  datapath.addRule({
    action: "deny",
    ruleId: 23,
    kind: 1,
    direction: INGRESS,
    dstIdentity: b.identity,
  });
  datapath.addRule({
    action: "allow",
    ruleId: 24,
    direction: INGRESS,
    protocol: IpProtocol.UDP,
    srcIdentity: a.identity,
    dstIdentity: b.identity,
  });
  datapath.set({ timeoutSeconds: [1, 1, 1, 1, 1, 1, 1, 1, 1] });
}

const FROM_A = { src: "02:fe:0a:f4:00:02", dst: GATEWAY_MAC };

function seeds(): Uint8Array[] {
  const own = [
    tcp({ srcPort: 40_000, dstPort: 80, flags: "S", options: Uint8Array.fromHex("020405b4") }),
    tcp({ srcPort: 40_000, dstPort: 80, flags: "PA" }, "data"),
    udp({ srcPort: 5000, dstPort: 53 }, "query"),
    icmpEcho({ id: 7 }),
  ].flatMap((payload) =>
    [B, OUTSIDE, HOST].map((dst) => ethernet(FROM_A, ipv4({ src: A, dst }, payload)))
  );
  // The attacker of the table is 10.244.0.3: here that is pod B, behind interface 1.
  const attacks = ATTACKS.flatMap(({ opening = [], frames, twin, from }) =>
    [...opening, ...frames, ...twin?.frames ?? []].map((frame) =>
      Uint8Array.of(from === "outside" ? 0x11 : 2, 0, ...frame)
    )
  );
  return [...own.map((frame) => Uint8Array.of(0, 0, ...frame)), ...attacks];
}

/** The programs of the datapath. */
export const packet: FuzzTarget = {
  name: "packet",
  what: "packets through the shipped programs by BPF_PROG_TEST_RUN",
  tokens: [
    Uint8Array.of(10, 244, 0, 2),
    Uint8Array.of(10, 244, 0, 3),
    Uint8Array.of(8, 0),
    Uint8Array.of(0x81, 0, 0, 5),
    Uint8Array.of(0x45, 0, 0, 28),
    Uint8Array.of(0x20, 0),
  ],
  seeds,
  async open() {
    await using building = new AsyncDisposableStack();
    const world = building.use(await makeWorld({ FRAGMENTS: 1024 }));
    addPolicy(world);
    const { datapath, a, b } = world;
    using links = world.netns.rtnetlink();
    const withoutPod = links.linkGet("pod-a").index;
    let runs = 0;
    const built = building.move();
    return {
      run(input: Uint8Array): string {
        const given = caseOf(input, world);
        if (!isRunnable(given.packet)) return "too short: the kernel runs none";
        if (++runs % COLLECT_EVERY === 0) datapath.collect();
        const [pod, other] = given.iface === 1 ? [b, a] : [a, b];
        const { verdict, reason, packet: after } = datapath.run(given.hook, given.packet, {
          ifindex: given.iface === 2 ? withoutPod : pod.ifindex,
          ingressIfindex: given.ingressIfindex,
          segments: given.segments,
        });
        for (const event of datapath.events()) {
          must(event.eventType >= 1 && event.eventType <= 4, `an event of type ${event.eventType}`);
        }
        if (verdict === "drop") {
          must(reason !== undefined && !reason.includes(","), `dropped for ${reason}`);
          return `${given.hook} ${reason}`;
        }
        must(reason === undefined, `passes, and is counted as ${reason}`);
        must(given.iface !== 2, "an interface without a pod lets a packet through");
        checkPassed(given, pod, other, verdict === "redirect" ? after : undefined);
        return `${given.hook} ${verdict} ${after[23]} ${after[14]! & 0xf}`;
      },
      [Symbol.asyncDispose]: () => built.disposeAsync(),
    };
  },
};
