import { Mac } from "../net/mac.ts";
import { attr, type Attribute, AttributeReader } from "./attribute.ts";
import { LinkAttr, LinkFlag, LinkInfoAttr, VethAttr } from "./constants.ts";
import { familyCodec } from "./family_message.ts";

/** Payloads of RTM_*LINK: struct ifinfomsg. */
export const linkCodec = familyCodec("ifinfomsg", {
  family: "u8",
  pad: "u8",
  type: "u16",
  index: "i32",
  flags: "u32",
  change: "u32",
});

/** A network interface as the kernel tells of it. */
export interface Link {
  /** The interface index, from 1. */
  readonly index: number;
  /** At most 15 bytes. */
  readonly name: string;
  /** IFF_*. */
  readonly flags: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** The carrier is there as well (IFF_LOWER_UP). */
  readonly carrier: boolean;
  /** Absent where the interface has no Ethernet address. */
  readonly mac: Mac | undefined;
  /** In bytes. */
  readonly mtu: number;
  /** What someone wrote on it for people to read; "" without. */
  readonly alias: string;
  /** The driver, e.g. `veth`; "" for devices without a link kind, such as loopback. */
  readonly kind: string;
  /** The index of the peer (veth) or parent, in the namespace where that lives; 0 without one. */
  readonly linkIndex: number;
  /** The index of the bridge or bond that owns it; 0 without one. */
  readonly masterIndex: number;
  /** The device group, 0 by default: a number by which several links are meant at once. */
  readonly group: number;
  /** Largest packet that the stack hands the device, bytes; undefined where the kernel does not know the limit. */
  readonly gsoMaxSizeBytes: number | undefined;
  /** The same for IPv4 (IPv4 BIG TCP); kernel 6.3 and later. */
  readonly gsoIpv4MaxSizeBytes: number | undefined;
  /** Largest IPv4 packet that GRO builds, bytes; kernel 6.3 and later. */
  readonly groIpv4MaxSizeBytes: number | undefined;
  /** The device's own limit on the ones above, bytes; kernel 5.19 and later. */
  readonly tsoMaxSizeBytes: number | undefined;
}

/** What can be set on an interface; what is left out stays as it is. */
export interface LinkChange {
  /** Administratively up or down. */
  readonly up?: boolean | undefined;
  /** A new name, 1 to 15 bytes without `/` and spaces. The interface must be down on kernels before 6.2. */
  readonly name?: string | undefined;
  readonly mac?: Mac | undefined;
  /** In bytes. */
  readonly mtu?: number | undefined;
  /** Bytes, up to the device's tsoMaxSizeBytes. */
  readonly gsoMaxSizeBytes?: number | undefined;
  /** Bytes, up to the device's tsoMaxSizeBytes; ignored before kernel 6.3. */
  readonly gsoIpv4MaxSizeBytes?: number | undefined;
  /** Bytes; ignored before kernel 6.3. */
  readonly groIpv4MaxSizeBytes?: number | undefined;
  /** For people to read, at most 255 bytes. */
  readonly alias?: string | undefined;
  /** The device group. */
  readonly group?: number | undefined;
  /** A descriptor of the network namespace to move it to. */
  readonly netnsFd?: number | undefined;
}

/** One end of a new veth pair. It is down at first: the kernel can't open an end before it knows the other. */
export interface VethEnd extends Omit<LinkChange, "up"> {
  /** 1 to 15 bytes. */
  readonly name: string;
}

/**
 * Reads the payload of an RTM_NEWLINK or RTM_DELLINK.
 * @throws {NetlinkDecodeError}
 */
export function decodeLink(payload: Uint8Array): Link {
  const { header, attributes } = linkCodec.decode(payload);
  const read = new AttributeReader(attributes);
  const mac = read.fixed(LinkAttr.ADDRESS, 6);
  return {
    index: header.index,
    name: read.string(LinkAttr.IFNAME) ?? "",
    flags: header.flags,
    up: (header.flags & LinkFlag.UP) !== 0,
    carrier: (header.flags & LinkFlag.LOWER_UP) !== 0,
    mac: mac && Mac.fromBytes(mac),
    mtu: read.u32(LinkAttr.MTU) ?? 0,
    alias: read.string(LinkAttr.IFALIAS) ?? "",
    kind: read.nested(LinkAttr.LINKINFO).string(LinkInfoAttr.KIND) ?? "",
    linkIndex: read.u32(LinkAttr.LINK) ?? 0,
    masterIndex: read.u32(LinkAttr.MASTER) ?? 0,
    group: read.u32(LinkAttr.GROUP) ?? 0,
    gsoMaxSizeBytes: read.u32(LinkAttr.GSO_MAX_SIZE),
    gsoIpv4MaxSizeBytes: read.u32(LinkAttr.GSO_IPV4_MAX_SIZE),
    groIpv4MaxSizeBytes: read.u32(LinkAttr.GRO_IPV4_MAX_SIZE),
    tsoMaxSizeBytes: read.u32(LinkAttr.TSO_MAX_SIZE),
  };
}

/** @returns the payload that names one interface, by index or by name. */
export function encodeLinkSelector(link: number | string): Uint8Array<ArrayBuffer> {
  if (typeof link === "number") return linkCodec.encode({ header: { index: link } });
  return linkCodec.encode({ header: {}, attributes: [attr.string(LinkAttr.IFNAME, link)] });
}

/** @returns the payload of an RTM_DELLINK that deletes every link of a device group. */
export function encodeLinkGroup(group: number): Uint8Array<ArrayBuffer> {
  return linkCodec.encode({ header: {}, attributes: [attr.u32(LinkAttr.GROUP, group)] });
}

/** @returns the payload of an RTM_NEWLINK that changes the interface with this index. */
export function encodeLinkChange(index: number, change: LinkChange): Uint8Array<ArrayBuffer> {
  return linkCodec.encode({
    header: { index, ...upFlags(change) },
    attributes: changeAttributes(change),
  });
}

/** @returns the payload of an RTM_NEWLINK that makes a veth pair. */
export function encodeVeth(end: VethEnd, peer: VethEnd): Uint8Array<ArrayBuffer> {
  const peerPayload = linkCodec.encode({
    header: {},
    attributes: changeAttributes(peer),
  });
  const info = [
    attr.string(LinkInfoAttr.KIND, "veth"),
    attr.nested(LinkInfoAttr.DATA, [attr.bytes(VethAttr.PEER, peerPayload)]),
  ];
  return linkCodec.encode({
    header: {},
    attributes: [...changeAttributes(end), attr.nested(LinkAttr.LINKINFO, info)],
  });
}

function upFlags({ up }: LinkChange): { flags: number; change: number } {
  return { flags: up === true ? LinkFlag.UP : 0, change: up === undefined ? 0 : LinkFlag.UP };
}

function changeAttributes(change: LinkChange): Attribute[] {
  const attributes: Attribute[] = [];
  const numbers: [type: number, value: number | undefined][] = [
    [LinkAttr.MTU, change.mtu],
    [LinkAttr.GROUP, change.group],
    [LinkAttr.NET_NS_FD, change.netnsFd],
    [LinkAttr.GSO_MAX_SIZE, change.gsoMaxSizeBytes],
    [LinkAttr.GSO_IPV4_MAX_SIZE, change.gsoIpv4MaxSizeBytes],
    [LinkAttr.GRO_IPV4_MAX_SIZE, change.groIpv4MaxSizeBytes],
  ];
  if (change.name !== undefined) attributes.push(attr.string(LinkAttr.IFNAME, change.name));
  if (change.alias !== undefined) {
    // Without the NUL that ends other strings: the kernel would count it.
    attributes.push(attr.bytes(LinkAttr.IFALIAS, new TextEncoder().encode(change.alias)));
  }
  if (change.mac !== undefined) attributes.push(attr.bytes(LinkAttr.ADDRESS, change.mac.bytes));
  for (const [type, value] of numbers) {
    if (value !== undefined) attributes.push(attr.u32(type, value));
  }
  return attributes;
}
