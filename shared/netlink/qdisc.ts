import { AttributeReader } from "./attribute.ts";
import { QdiscAttr } from "./constants.ts";
import { familyCodec } from "./family_message.ts";

/** Payloads of RTM_*QDISC: struct tcmsg. */
export const qdiscCodec = familyCodec("tcmsg", {
  family: "u8",
  pad1: "u8",
  pad2: "u16",
  index: "i32",
  handle: "u32",
  parent: "u32",
  info: "u32",
});

/** A queueing discipline of an interface. */
export interface Qdisc {
  /** The interface's index. */
  readonly index: number;
  /** E.g. `noqueue`, `clsact`. */
  readonly kind: string;
  /** Major number in the upper 16 bits. */
  readonly handle: number;
  /** TC_H_ROOT, TC_H_CLSACT or a class. */
  readonly parent: number;
}

/**
 * Reads the payload of an RTM_NEWQDISC.
 * @throws {NetlinkDecodeError}
 */
export function decodeQdisc(payload: Uint8Array): Qdisc {
  const { header, attributes } = qdiscCodec.decode(payload);
  const kind = new AttributeReader(attributes).string(QdiscAttr.KIND) ?? "";
  return { index: header.index, kind, handle: header.handle, parent: header.parent };
}

/** @returns the payload that asks for the queueing disciplines of one interface, or of all (index 0). */
export function encodeQdiscFilter(index: number): Uint8Array<ArrayBuffer> {
  return qdiscCodec.encode({ header: { index } });
}
