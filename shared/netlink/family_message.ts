import { type Attribute, decodeAttributes, encodeAttributes } from "./attribute.ts";
import { LITTLE_ENDIAN } from "./constants.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";

/** A rtnetlink payload: the fixed header of its family and the attributes, unknown ones included. */
export interface FamilyMessage<Header> {
  readonly header: Header;
  readonly attributes: readonly Attribute[];
}

/** Turns one family's payloads to bytes and back. */
export interface FamilyCodec<Header> {
  /** @returns the payload's bytes; fields that are left out are 0. */
  encode(
    message: { header: Partial<Header>; attributes?: readonly Attribute[] },
  ): Uint8Array<ArrayBuffer>;
  /** @throws {NetlinkDecodeError} when the bytes are too few or the attributes do not fit them. */
  decode(payload: Uint8Array): FamilyMessage<Header>;
}

/** How a field of a fixed header is stored, host order. */
export type FieldKind = "u8" | "u16" | "u32" | "i32";

const WIDTH: Record<FieldKind, number> = { u8: 1, u16: 2, u32: 4, i32: 4 };

/**
 * Makes the codec of a family from the C struct of its header.
 * @param name of the C struct, for errors.
 * @param fields in the struct's order, its padding included under names that begin with `pad`.
 */
export function familyCodec<Fields extends Record<string, FieldKind>>(
  name: string,
  fields: Fields,
): FamilyCodec<Record<keyof Fields & string, number>> {
  type Header = Record<keyof Fields & string, number>;
  const entries = Object.entries(fields) as [keyof Fields & string, FieldKind][];
  const size = entries.reduce((sum, [, kind]) => sum + WIDTH[kind], 0);
  return {
    encode({ header, attributes = [] }) {
      const tail = encodeAttributes(attributes);
      const bytes = new Uint8Array(size + tail.length);
      const view = new DataView(bytes.buffer);
      let offset = 0;
      for (const [field, kind] of entries) {
        writeField(view, offset, kind, header[field] ?? 0);
        offset += WIDTH[kind];
      }
      bytes.set(tail, size);
      return bytes;
    },
    decode(payload) {
      if (payload.length < size) {
        throw new NetlinkDecodeError(name, 0, `needs ${size} bytes, has ${payload.length}`);
      }
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      const header: Partial<Header> = {};
      let offset = 0;
      for (const [field, kind] of entries) {
        header[field] = readField(view, offset, kind);
        offset += WIDTH[kind];
      }
      return { header: header as Header, attributes: decodeAttributes(payload.subarray(size)) };
    },
  };
}

function writeField(view: DataView, offset: number, kind: FieldKind, value: number): void {
  if (kind === "u8") view.setUint8(offset, value);
  else if (kind === "u16") view.setUint16(offset, value, LITTLE_ENDIAN);
  else view.setUint32(offset, value, LITTLE_ENDIAN);
}

function readField(view: DataView, offset: number, kind: FieldKind): number {
  if (kind === "u8") return view.getUint8(offset);
  if (kind === "u16") return view.getUint16(offset, LITTLE_ENDIAN);
  return kind === "u32"
    ? view.getUint32(offset, LITTLE_ENDIAN)
    : view.getInt32(offset, LITTLE_ENDIAN);
}
