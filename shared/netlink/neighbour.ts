import { Ipv4 } from "../net/ipv4.ts";
import { Mac } from "../net/mac.ts";
import { attr, type Attribute, AttributeReader } from "./attribute.ts";
import { Family, NeighAttr, NeighState } from "./constants.ts";
import { familyCodec } from "./family_message.ts";

/** Payloads of RTM_*NEIGH: struct ndmsg. */
export const neighbourCodec = familyCodec("ndmsg", {
  family: "u8",
  pad1: "u8",
  pad2: "u16",
  index: "i32",
  state: "u16",
  flags: "u8",
  type: "u8",
});

/** An entry of an interface's IPv4 neighbour (ARP) table. */
export interface Neighbour {
  /** The interface's index. */
  readonly index: number;
  readonly ip: Ipv4;
  /** Undefined while it is not resolved. */
  readonly mac: Mac | undefined;
  /** NUD_*. */
  readonly state: number;
  /** Never expires (NUD_PERMANENT). */
  readonly permanent: boolean;
}

/** A permanent neighbour to add. */
export interface NeighbourSpec {
  /** The interface's index. */
  readonly index: number;
  readonly ip: Ipv4;
  readonly mac: Mac;
}

/**
 * Reads the payload of an RTM_NEWNEIGH or RTM_DELNEIGH.
 * @returns undefined for families other than IPv4.
 * @throws {NetlinkDecodeError}
 */
export function decodeNeighbour(payload: Uint8Array): Neighbour | undefined {
  const { header, attributes } = neighbourCodec.decode(payload);
  const read = new AttributeReader(attributes);
  const ip = read.fixed(NeighAttr.DST, 4);
  const mac = read.fixed(NeighAttr.LLADDR, 6);
  if (header.family !== Family.INET || ip === undefined) return undefined;
  return {
    index: header.index,
    ip: Ipv4.fromBytes(ip),
    mac: mac && Mac.fromBytes(mac),
    state: header.state,
    permanent: (header.state & NeighState.PERMANENT) !== 0,
  };
}

/** @returns the payload of an RTM_NEWNEIGH (with a MAC) or RTM_DELNEIGH (without). */
export function encodeNeighbour(
  spec: Omit<NeighbourSpec, "mac"> & { readonly mac?: Mac },
): Uint8Array<ArrayBuffer> {
  const attributes: Attribute[] = [attr.bytes(NeighAttr.DST, spec.ip.toBytes())];
  if (spec.mac !== undefined) attributes.push(attr.bytes(NeighAttr.LLADDR, spec.mac.bytes));
  const state = spec.mac === undefined ? 0 : NeighState.PERMANENT;
  return neighbourCodec.encode({
    header: { family: Family.INET, index: spec.index, state },
    attributes,
  });
}

/** @returns the payload that asks for all IPv4 neighbours. */
export function encodeNeighbourFilter(): Uint8Array<ArrayBuffer> {
  return neighbourCodec.encode({ header: { family: Family.INET } });
}
