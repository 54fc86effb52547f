import assert from "node:assert/strict";
import { Mac } from "../net/mac.ts";
import { type LabNetns, NetnsLab } from "./lab.ts";
import { assertSameFrame, ethernet, icmpEcho, ipv4, udp } from "./packets.ts";
import { RawLink } from "./raw_link.ts";

const LEFT = { mac: Mac.parse("02:00:00:00:00:01"), ip: "10.0.0.1" };
const RIGHT = { mac: Mac.parse("02:00:00:00:00:02"), ip: "10.0.0.2" };
const ONWARDS = { src: LEFT.mac, dst: RIGHT.mac };
const IPS = { src: LEFT.ip, dst: RIGHT.ip };
/** Leaves out what the kernel's IPv6 says on its own, which goes to groups. */
const isUnicast = (frame: Uint8Array) => !Mac.fromBytes(frame.subarray(0, 6)).isMulticast;
/** Leaves out ARP too. */
const isIpv4 = (frame: Uint8Array) => frame[12] === 8 && frame[13] === 0;

async function pair(lab: NetnsLab): Promise<{ left: LabNetns; right: LabNetns }> {
  const [left, right] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: left, name: "l0", mac: LEFT.mac }, {
    netns: right,
    name: "r0",
    mac: RIGHT.mac,
  });
  await right.run(["ip", "addr", "add", `${RIGHT.ip}/24`, "dev", "r0"]);
  await right.run(["ip", "neigh", "add", LEFT.ip, "lladdr", String(LEFT.mac), "dev", "r0"]);
  return { left, right };
}

Deno.test("the kernel answers an echo request that we built, with the very reply that we build", async () => {
  await using lab = new NetnsLab();
  const { left } = await pair(lab);
  using link = new RawLink(left, "l0", isIpv4);
  const echo = { id: 77, seq: 3 };
  link.send(ethernet(ONWARDS, ipv4({ ...IPS, dontFragment: true }, icmpEcho(echo, "odd"))));
  const reply = await link.next();
  // The kernel picks the identification of its reply.
  const id = new DataView(reply.buffer, reply.byteOffset).getUint16(18);
  const back = { src: RIGHT.ip, dst: LEFT.ip, id };
  const expected = ethernet(
    { src: RIGHT.mac, dst: LEFT.mac },
    ipv4(back, icmpEcho({ ...echo, reply: true }, "odd")),
  );
  assertSameFrame(reply, expected);
});

Deno.test("frames cross a veth pair byte for byte, VLAN tags too, and only inwards", async () => {
  await using lab = new NetnsLab();
  const { left, right } = await pair(lab);
  using from = new RawLink(left, "l0", isIpv4);
  using to = new RawLink(right, "r0", isUnicast);
  const frames = [
    ethernet(ONWARDS, ipv4(IPS, udp({ srcPort: 1, dstPort: 2 }, "plain"))),
    ethernet(
      { ...ONWARDS, vlans: [{ id: 7 }] },
      ipv4(IPS, udp({ srcPort: 1, dstPort: 2 }, "tagged")),
    ),
  ];
  for (const frame of frames) {
    from.send(frame);
    await to.expect(frame);
  }
  const own = from.take().filter((frame) => Mac.fromBytes(frame.subarray(6, 12)).equals(LEFT.mac));
  assert.deepEqual(own, []);
});

Deno.test("silence is shown by a marker that comes first", async () => {
  await using lab = new NetnsLab();
  const { left, right } = await pair(lab);
  using from = new RawLink(left, "l0");
  using to = new RawLink(right, "r0", isIpv4);
  const frame = (data: string) =>
    ethernet(ONWARDS, ipv4(IPS, udp({ srcPort: 1, dstPort: 2 }, data)));
  const isMarker = (seen: Uint8Array) => seen.toHex() === frame("marker").toHex();
  from.send(frame("marker"));
  await to.expectNothingBefore(isMarker);
  from.send(frame("leak"));
  from.send(frame("marker"));
  await assert.rejects(to.expectNothingBefore(isMarker), { name: "AssertionError" });
});
