import assert from "node:assert/strict";
import {
  arp,
  assertSameFrame,
  crc32c,
  describeFrame,
  ethernet,
  fragments,
  icmpEcho,
  icmpError,
  IcmpType,
  internetChecksum,
  ipv4,
  ipv6,
  rawTransport,
  sctp,
  tcp,
  udp,
} from "../packets.ts";
import { Ipv4 } from "../../net/ipv4.ts";
import { SeededRandom } from "../seeded_random.ts";

const MACS = { src: "02:00:00:00:00:01", dst: "02:00:00:00:00:02" };
const IP = Ipv4.parse("10.0.0.1");
const IPS = { src: "10.0.0.1", dst: "10.0.0.2" };

Deno.test("the Internet checksum is that of RFC 1071's example, odd lengths padded with zero", () => {
  assert.equal(internetChecksum(Uint8Array.fromHex("0001f203f4f5f6f7")), 0x220d);
  assert.equal(
    internetChecksum(Uint8Array.fromHex("0001f203f4f5f6")),
    internetChecksum(Uint8Array.fromHex("0001f203f4f5f600")),
  );
});

const CRC_ROWS: [what: string, bytes: Uint8Array, crc: number][] = [
  ["123456789", new TextEncoder().encode("123456789"), 0xe3069283],
  ["32 zeros (RFC 3720 B.4)", new Uint8Array(32), 0x8a9136aa],
  ["32 ones (RFC 3720 B.4)", new Uint8Array(32).fill(0xff), 0x62a8ab43],
];

for (const [what, bytes, crc] of CRC_ROWS) {
  Deno.test(`CRC-32C of ${what}`, () => assert.equal(crc32c(bytes), crc));
}

const HELLO = udp({ srcPort: 5000, dstPort: 5001 }, "hello udp");

/** Frames that Linux sent, seen by tcpdump; the kernel computed every checksum. */
const CAPTURED: [what: string, hex: string, built: Uint8Array][] = [
  [
    "an ARP request",
    [
      "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002",
    ].join(""),
    ethernet(
      { ...MACS, dst: "ff:ff:ff:ff:ff:ff" },
      arp({ operation: 1, senderMac: MACS.src, senderIp: IPS.src, targetIp: IPS.dst }),
    ),
  ],
  [
    "an ARP reply",
    [
      "020000000001020000000002080600010800060400020200000000020a0000020200000000010a000001",
    ].join(""),
    ethernet(
      { src: MACS.dst, dst: MACS.src },
      arp({
        operation: 2,
        senderMac: MACS.dst,
        senderIp: IPS.dst,
        targetMac: MACS.src,
        targetIp: IPS.src,
      }),
    ),
  ],
  [
    "a SYN with options",
    [
      "02000000000202000000000108004500003c90d94000400695e00a0000010a0000029c401f90a5761ea40000",
      "0000a002faf0b9670000020405b40402080a69a59611000000000103030a",
    ].join(""),
    ethernet(
      MACS,
      ipv4(
        { ...IPS, id: 37081, dontFragment: true },
        tcp({
          srcPort: 40000,
          dstPort: 8080,
          flags: "S",
          seq: 2775981732,
          window: 64240,
          options: Uint8Array.fromHex("020405b40402080a69a59611000000000103030a"),
        }),
      ),
    ),
  ],
  [
    "TCP data of odd length",
    [
      "02000000000202000000000108004500003d90db4000400695dd0a0000010a0000029c401f90a5761ea5f07a",
      "e6568018003f611d00000101080a69a59611fe07847a68656c6c6f20746370",
    ].join(""),
    ethernet(
      MACS,
      ipv4(
        { ...IPS, id: 37083, dontFragment: true },
        tcp({
          srcPort: 40000,
          dstPort: 8080,
          flags: "PA",
          seq: 2775981733,
          ack: 4034586198,
          window: 63,
          options: Uint8Array.fromHex("0101080a69a59611fe07847a"),
        }, "hello tcp"),
      ),
    ),
  ],
  [
    "a UDP datagram",
    [
      "020000000002020000000001080045000025f2df4000401133e60a0000010a0000021388138900119b616865",
      "6c6c6f20756470",
    ].join(""),
    ethernet(MACS, ipv4({ ...IPS, id: 62175, dontFragment: true }, HELLO)),
  ],
  [
    "an ICMP error about it",
    [
      "020000000001020000000002080045c000411d2d0000400148cd0a0000020a00000103031122000000004500",
      "0025f2df4000401133e60a0000010a0000021388138900119b6168656c6c6f20756470",
    ].join(""),
    ethernet(
      { src: MACS.dst, dst: MACS.src },
      ipv4(
        { src: IPS.dst, dst: IPS.src, tos: 0xc0, id: 7469 },
        icmpError(
          { type: IcmpType.UNREACHABLE, code: 3 },
          ipv4({ ...IPS, id: 62175, dontFragment: true }, HELLO),
          37,
        ),
      ),
    ),
  ],
];

for (const [what, hex, built] of CAPTURED) {
  Deno.test(`${what} is built as Linux sends it`, () => {
    assertSameFrame(built, Uint8Array.fromHex(hex));
  });
}

Deno.test("an echo request and its reply differ in type and checksum alone", () => {
  const [request, reply] = [false, true].map((reply) =>
    icmpEcho({ reply, id: 7, seq: 2 }).build(IP, IP)
  );
  assert(request && reply);
  assert.equal(request.subarray(0, 2).toHex() + reply.subarray(0, 2).toHex(), "08000000");
  assert.equal(internetChecksum(request), 0);
  assert.equal(internetChecksum(reply), 0);
  assert.equal(request.subarray(4).toHex(), reply.subarray(4).toHex());
  assert.equal(request.subarray(4, 8).toHex(), "00070002");
});

Deno.test("a UDP checksum that comes out as 0 is written as ffff", () => {
  // With this payload the sum over pseudo-header and datagram is ffff.
  const datagram = udp({ srcPort: 0, dstPort: 0 }, Uint8Array.fromHex("ebd7")).build(
    IP,
    Ipv4.parse("10.0.0.2"),
  );
  assert.equal(datagram.subarray(6, 8).toHex(), "ffff");
  assert.equal(
    udp({ srcPort: 1, dstPort: 2, checksum: 0 }).build(IP, IP).subarray(6, 8).toHex(),
    "0000",
  );
});

Deno.test("an SCTP packet has its CRC-32C, little-endian, and padded chunks", () => {
  const packet = sctp({ srcPort: 1, dstPort: 2, verificationTag: 0xdeadbeef }, [
    { type: 10, value: Uint8Array.of(1, 2, 3) },
    { type: 0, flags: 3 },
  ]).build(IP, IP);
  assert.equal(packet.subarray(12).toHex(), "0a00000701020300" + "00030004");
  const crc = packet.slice(8, 12);
  packet.fill(0, 8, 12);
  assert.equal(new DataView(crc.buffer).getUint32(0, true), crc32c(packet));
});

Deno.test("fragments are the packet when put together", () => {
  const payload = udp({ srcPort: 1, dstPort: 2 }, "0123456789abcdefghijklmnopqrstuvwxyz");
  const parts = fragments({ ...IPS, id: 9 }, payload, [8, 16]).map(({ bytes }) => bytes);
  const flags = parts.map((bytes) => bytes.subarray(6, 8).toHex());
  assert.deepEqual(flags, ["2000", "2001", "0003"]);
  const whole = parts.map((bytes) => bytes.subarray(20).toHex()).join("");
  assert.equal(whole, payload.build(IP, Ipv4.parse(IPS.dst)).toHex());
  assert(parts.every((bytes) => internetChecksum(bytes.subarray(0, 20)) === 0));
});

Deno.test("wrong values are made when they are asked for", () => {
  const wrong = {
    version: 6,
    ihl: 15,
    totalLength: 9,
    checksum: 0xbad,
    protocol: 200,
    reservedFlag: true,
    ttl: 1,
  };
  const { bytes } = ipv4({ ...IPS, ...wrong }, rawTransport(1, Uint8Array.of(1)));
  assert.equal(bytes.toHex(), "6f000009" + "00008000" + "01c80bad" + "0a0000010a000002" + "01");
  assert.throws(() => ipv4({ ...IPS, fragmentOffset: 4 }, rawTransport(1, bytes)), RangeError);
  assert.throws(
    () => ipv4({ ...IPS, options: new Uint8Array(41) }, rawTransport(1, bytes)),
    RangeError,
  );
  assert.throws(() => tcp({ srcPort: 1, dstPort: 2, flags: "X" }), RangeError);
});

Deno.test("VLAN tags, IPv4 options and IPv6 stand where they belong", () => {
  const vlans = [{ id: 5, etherType: 0x88a8 }, { id: 6, priority: 7 }];
  const tagged = ethernet(
    { ...MACS, vlans },
    ipv4({ ...IPS, options: Uint8Array.of(7, 3, 4) }, HELLO),
  );
  assert.equal(tagged.subarray(12, 24).toHex(), "88a80005" + "8100e006" + "08004600");
  assert.equal(tagged.subarray(42, 46).toHex(), "07030400");
  const six = ethernet(MACS, ipv6({ nextHeader: 58 }, Uint8Array.of(1, 2)));
  assert.equal(six.subarray(12, 22).toHex(), "86dd" + "60000000" + "0002" + "3a40");
});

Deno.test("a description names each field, and says which checksum is wrong", () => {
  const frame = ethernet(
    MACS,
    ipv4({ ...IPS, checksum: 1 }, tcp({ srcPort: 1, dstPort: 2, flags: "SA" }, "hi")),
  );
  const lines = describeFrame(frame).split("\n");
  for (
    const line of [
      "ipv4 src: 10.0.0.1",
      "ipv4 checksum: 0x0001 (WRONG)",
      "tcp flags: SA",
      "tcp ports: 1 -> 2",
    ]
  ) {
    assert(lines.includes(line), `${line} in\n${lines.join("\n")}`);
  }
  assert(lines.some((line) => /^tcp checksum: .* \(right\)$/.test(line)));
});

Deno.test("two frames that differ are compared field by field", () => {
  const [one, other] = [64, 63].map((ttl) => ethernet(MACS, ipv4({ ...IPS, ttl }, HELLO)));
  assert(one && other);
  assertSameFrame(one, one.slice());
  assert.throws(() => assertSameFrame(other, one, "the echo"), (error) => {
    assert(error instanceof assert.AssertionError);
    assert.match(error.message, /ipv4 ttl: 63/);
    assert.match(error.message, /ipv4 ttl: 64/);
    return true;
  });
  // A field that is not described is still a difference.
  const arpFrame = ethernet(
    MACS,
    arp({ operation: 1, senderMac: MACS.src, senderIp: IPS.src, targetIp: IPS.dst }),
  );
  const odd = arpFrame.slice();
  odd[15] = 9;
  assert.throws(() => assertSameFrame(odd, arpFrame), assert.AssertionError);
});

Deno.test("fuzz describeFrame: any bytes are described", () => {
  const random = new SeededRandom(1);
  const seeds = CAPTURED.map(([, hex]) => Uint8Array.fromHex(hex));
  for (let round = 0; round < 3000; round++) {
    const frame = random.damage(seeds[random.below(seeds.length)] ?? new Uint8Array());
    assert.match(describeFrame(frame), /^frame: /);
  }
});
