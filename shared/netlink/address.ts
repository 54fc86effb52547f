import { Cidr, type HostInCidr } from "../net/cidr.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { attr, AttributeReader } from "./attribute.ts";
import { AddrAttr, AddrFlag, Family } from "./constants.ts";
import { familyCodec } from "./family_message.ts";

/** Payloads of RTM_*ADDR: struct ifaddrmsg. */
export const addressCodec = familyCodec("ifaddrmsg", {
  family: "u8",
  prefixLen: "u8",
  flags: "u8",
  scope: "u8",
  index: "u32",
});

/** An IPv4 address of an interface. */
export interface InterfaceAddress extends HostInCidr {
  /** The interface's index. */
  readonly index: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_*, all 32 bits. */
  readonly flags: number;
  /** The interface's name, or an alias; "" when the kernel gives none. */
  readonly label: string;
}

/** An address to add. */
export interface AddressSpec extends HostInCidr {
  /** The interface's index. */
  readonly index: number;
  /** Add no connected route for the subnet (IFA_F_NOPREFIXROUTE). */
  readonly noPrefixRoute?: boolean | undefined;
}

/**
 * Reads the payload of an RTM_NEWADDR or RTM_DELADDR.
 * @returns undefined for families other than IPv4.
 * @throws {NetlinkDecodeError}
 */
export function decodeAddress(payload: Uint8Array): InterfaceAddress | undefined {
  const { header, attributes } = addressCodec.decode(payload);
  const read = new AttributeReader(attributes);
  // On point-to-point links ADDRESS is the other end and LOCAL is ours; else they are the same.
  const bytes = read.fixed(AddrAttr.LOCAL, 4) ?? read.fixed(AddrAttr.ADDRESS, 4);
  if (header.family !== Family.INET || bytes === undefined || header.prefixLen > 32) {
    return undefined;
  }
  const host = Ipv4.fromBytes(bytes);
  return {
    index: header.index,
    host,
    cidr: Cidr.of(host, header.prefixLen),
    scope: header.scope,
    flags: read.u32(AddrAttr.FLAGS) ?? header.flags,
    label: read.string(AddrAttr.LABEL) ?? "",
  };
}

/** @returns the payload of an RTM_NEWADDR or RTM_DELADDR. */
export function encodeAddress(spec: AddressSpec): Uint8Array<ArrayBuffer> {
  const bytes = spec.host.toBytes();
  const flags = spec.noPrefixRoute === true ? AddrFlag.NOPREFIXROUTE : 0;
  return addressCodec.encode({
    header: { family: Family.INET, prefixLen: spec.cidr.prefixLen, index: spec.index },
    attributes: [
      attr.bytes(AddrAttr.LOCAL, bytes),
      attr.bytes(AddrAttr.ADDRESS, bytes),
      attr.u32(AddrAttr.FLAGS, flags),
    ],
  });
}

/** @returns the payload that asks for the IPv4 addresses of one interface, or of all (index 0). */
export function encodeAddressFilter(index: number): Uint8Array<ArrayBuffer> {
  return addressCodec.encode({ header: { family: Family.INET, index } });
}
