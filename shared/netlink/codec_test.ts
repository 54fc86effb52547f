import assert from "node:assert/strict";
import { decodeDoneMessage, decodeErrorMessage } from "./ack.ts";
import { addressCodec, decodeAddress } from "./address.ts";
import { attr, AttributeReader, decodeAttributes, encodeAttributes } from "./attribute.ts";
import { LinkAttr, LinkInfoAttr, MessageType, RouteScope, RouteTable } from "./constants.ts";
import type { FamilyCodec } from "./family_message.ts";
import { decodeLink, encodeVeth, linkCodec } from "./link.ts";
import { decodeMessages, encodeMessage, type NetlinkMessage } from "./message.ts";
import { decodeNeighbour, neighbourCodec } from "./neighbour.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";
import { decodeQdisc, qdiscCodec } from "./qdisc.ts";
import { decodeRoute, routeCodec } from "./route.ts";
import { GOLDEN } from "./testdata/golden.ts";
import { Cidr } from "../net/cidr.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { Mac } from "../net/mac.ts";

/** The messages of captured datagrams; a dump's last one, NLMSG_DONE, left out. */
function capturedMessages(datagrams: readonly string[]): NetlinkMessage[] {
  return datagrams.flatMap((hex) => decodeMessages(Uint8Array.fromHex(hex)))
    .filter(({ type }) => type !== MessageType.DONE);
}

for (const [name, datagrams] of Object.entries(GOLDEN)) {
  for (const [index, hex] of datagrams.entries()) {
    Deno.test(`captured ${name}[${index}]: encode(decode(bytes)) is bytes`, () => {
      const messages = decodeMessages(Uint8Array.fromHex(hex));
      assert.equal(messages.map((each) => encodeMessage(each).toHex()).join(""), hex);
    });
  }
}

const PAYLOADS: [name: keyof typeof GOLDEN, codec: FamilyCodec<Record<string, number>>][] = [
  ["links", linkCodec],
  ["addresses", addressCodec],
  ["routes", routeCodec],
  ["neighbours", neighbourCodec],
  ["qdiscs", qdiscCodec],
];

for (const [name, codec] of PAYLOADS) {
  Deno.test(`payloads of captured ${name}: encode(decode(bytes)) is bytes, unknown attributes kept`, () => {
    const messages = capturedMessages(GOLDEN[name]);
    assert(messages.length > 0);
    for (const { payload } of messages) {
      const encoded = codec.encode(codec.decode(payload));
      // The last attribute's padding is outside the message's length.
      assert.equal(encoded.subarray(0, payload.length).toHex(), payload.toHex());
      assert.equal(encoded.subarray(payload.length).some((byte) => byte !== 0), false);
    }
  });
}

Deno.test("captured links are read", () => {
  const links = capturedMessages(GOLDEN.links).map(({ payload }) => decodeLink(payload));
  assert.deepEqual(links.map(({ name }) => name).sort(), ["lo", "va", "vb"]);
  const va = links.find(({ name }) => name === "va");
  assert(va);
  assert.equal(va.index, 3);
  assert.equal(va.kind, "veth");
  assert.equal(va.linkIndex, 2);
  assert.equal(va.mtu, 1400);
  assert.equal(String(va.mac), "02:fe:0a:00:00:01");
  assert.equal(va.up && va.carrier, true);
  assert.equal(va.gsoIpv4MaxSizeBytes, 65536);
  assert.equal(va.groIpv4MaxSizeBytes, 65536);
  assert.equal(va.gsoMaxSizeBytes, 65536);
  assert.equal(va.tsoMaxSizeBytes, 524280);
  assert.equal(links.find(({ name }) => name === "lo")?.kind, "");
});

Deno.test("captured addresses are read", () => {
  const addresses = capturedMessages(GOLDEN.addresses).map(({ payload }) => decodeAddress(payload));
  const texts = addresses.map((each) => `${each?.label} ${each?.host} in ${each?.cidr}`);
  assert.deepEqual(texts, ["lo 127.0.0.1 in 127.0.0.0/8", "va 10.9.0.1 in 10.9.0.0/24"]);
  assert.equal(addresses[1]?.flags, 0x280);
});

Deno.test("captured routes are read", () => {
  const routes = capturedMessages(GOLDEN.routes).map(({ payload }) => decodeRoute(payload));
  const [first, second] = routes;
  assert(first && second);
  assert.equal(first.destination.toString(), "0.0.0.0/0");
  assert.equal(String(first.gateway), "10.9.0.2");
  assert.equal(first.oif, 3);
  assert.equal(first.mtu, 1300);
  assert.equal(first.table, RouteTable.MAIN);
  assert.equal(second.destination.toString(), "10.9.0.2/32");
  assert.equal(second.scope, RouteScope.LINK);
  assert.equal(String(second.source), "10.9.0.1");
  assert.equal(second.gateway, undefined);
  assert.equal(second.mtu, undefined);
  assert(routes.slice(2).every((route) => route?.table === RouteTable.LOCAL));
});

Deno.test("captured neighbours are read", () => {
  const [neighbour] = capturedMessages(GOLDEN.neighbours)
    .map(({ payload }) => decodeNeighbour(payload));
  assert.equal(String(neighbour?.ip), "10.9.0.2");
  assert.equal(String(neighbour?.mac), "02:fe:0a:09:00:02");
  assert.equal(neighbour?.permanent, true);
});

Deno.test("captured qdiscs are read", () => {
  const kinds = capturedMessages(GOLDEN.qdiscs).map(({ payload }) => decodeQdisc(payload).kind);
  assert.deepEqual([...new Set(kinds)], ["noqueue"]);
});

const ACKS: [name: "ack" | "errorNoDevice" | "errorMessage", errno: number, text: string][] = [
  ["ack", 0, ""],
  ["errorNoDevice", 19, ""],
  ["errorMessage", 22, "Unknown network namespace id"],
];

for (const [name, errno, kernelMessage] of ACKS) {
  Deno.test(`captured ${name} says errno ${errno} and ${JSON.stringify(kernelMessage)}`, () => {
    const [message] = capturedMessages(GOLDEN[name]);
    assert(message);
    assert.deepEqual(decodeErrorMessage(message), { errno, kernelMessage });
  });
}

Deno.test("an NLMSG_DONE without a status is success", () => {
  const done = { type: MessageType.DONE, flags: 0, seq: 1, pid: 1 };
  assert.equal(decodeDoneMessage({ ...done, payload: new Uint8Array() }).errno, 0);
  const failed = Uint8Array.of(0xf4, 0xff, 0xff, 0xff);
  assert.equal(decodeDoneMessage({ ...done, payload: failed }).errno, 12);
});

Deno.test("a veth request carries both ends", () => {
  const payload = encodeVeth(
    { name: "nv0123", mtu: 1450 },
    {
      name: "eth0",
      netnsFd: 7,
      mac: Mac.forPod(Ipv4.parse("10.0.0.9")),
      gsoIpv4MaxSizeBytes: 196608,
    },
  );
  const end = linkCodec.decode(payload);
  const read = new AttributeReader(end.attributes);
  assert.deepEqual([end.header.flags, end.header.change], [0, 0]);
  assert.equal(read.string(LinkAttr.IFNAME), "nv0123");
  assert.equal(read.u32(LinkAttr.MTU), 1450);
  const info = read.nested(LinkAttr.LINKINFO);
  assert.equal(info.string(LinkInfoAttr.KIND), "veth");
  const peerPayload = info.nested(LinkInfoAttr.DATA).bytes(1);
  assert(peerPayload);
  const peer = new AttributeReader(linkCodec.decode(peerPayload).attributes);
  assert.equal(peer.string(LinkAttr.IFNAME), "eth0");
  assert.equal(peer.u32(LinkAttr.NET_NS_FD), 7);
  assert.equal(peer.bytes(LinkAttr.ADDRESS)?.toHex(), "02fe0a000009");
  assert.equal(peer.u32(LinkAttr.GSO_IPV4_MAX_SIZE), 196608);
});

Deno.test("attributes with flag bits are read under their type and kept as they came", () => {
  const bytes = encodeAttributes([attr.nested(5, [attr.u32(1, 0xffffffff)]), attr.string(6, "x")]);
  const attributes = decodeAttributes(bytes);
  assert.equal(attributes[0]?.rawType, 0x8005);
  assert.equal(encodeAttributes(attributes).toHex(), bytes.toHex());
  const read = new AttributeReader(attributes);
  assert.equal(read.nested(5).u32(1), 0xffffffff);
  assert.equal(read.string(6), "x");
  assert.equal(read.u32(6), undefined);
  assert.equal(read.bytes(7), undefined);
  assert.equal(read.nested(7).u32(1), undefined);
});

Deno.test("an attribute that is too long to encode is refused", () => {
  assert.throws(() => encodeAttributes([attr.bytes(1, new Uint8Array(65532))]), RangeError);
});

const BROKEN: [what: string, hex: string, decode: (bytes: Uint8Array) => unknown][] = [
  ["a message header cut short", "1000000002000000", decodeMessages],
  ["a message length below its header", "0f000000020000000000000000000000", decodeMessages],
  ["a message length beyond the bytes", "14000000020000000000000000000000", decodeMessages],
  ["an attribute header cut short", "0800", decodeAttributes],
  ["an attribute length below its header", "03000100", decodeAttributes],
  ["an attribute length beyond the bytes", "0800010000", decodeAttributes],
  ["a link header cut short", "00000000", decodeLink],
  ["a route header cut short", "02", decodeRoute],
];

for (const [what, hex, decode] of BROKEN) {
  Deno.test(`${what} is refused`, () => {
    assert.throws(() => decode(Uint8Array.fromHex(hex)), NetlinkDecodeError);
  });
}

Deno.test("other families are left out", () => {
  const family = 10;
  assert.equal(decodeAddress(addressCodec.encode({ header: { family } })), undefined);
  assert.equal(decodeRoute(routeCodec.encode({ header: { family } })), undefined);
  assert.equal(decodeNeighbour(neighbourCodec.encode({ header: { family } })), undefined);
});

Deno.test("the default route of an unfiltered table is read as 0.0.0.0/0", () => {
  const payload = routeCodec.encode({ header: { family: 2, table: 9 } });
  const route = decodeRoute(payload);
  assert(route);
  assert(route.destination.equals(Cidr.ALL));
  assert.equal(route.table, 9);
});
