import { LITTLE_ENDIAN } from "./constants.ts";
import { align4 } from "./message.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";

const HEADER_SIZE = 4;
const TYPE_MASK = 0x3fff;
const NESTED = 0x8000;
const MAX_LENGTH = 0xffff;

/** One attribute: struct nlattr and its value. Kept whole, so that unknown ones survive a round trip. */
export interface Attribute {
  /** The type with its two flag bits (NLA_F_NESTED, NLA_F_NET_BYTEORDER), as on the wire. */
  readonly rawType: number;
  /** The value, padding left out. */
  readonly value: Uint8Array;
}

/** @returns the attribute's type without its flag bits. */
export function attributeType(attribute: Attribute): number {
  return attribute.rawType & TYPE_MASK;
}

/**
 * @returns the attributes one after the other, each padded to four bytes.
 * @throws {RangeError} when a value is longer than an attribute may be (65,531 bytes).
 */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array<ArrayBuffer> {
  const size = attributes.reduce((sum, { value }) => sum + align4(HEADER_SIZE + value.length), 0);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const { rawType, value } of attributes) {
    const length = HEADER_SIZE + value.length;
    if (length > MAX_LENGTH) {
      throw new RangeError(`Cannot encode netlink attribute ${rawType}: ${value.length} bytes`);
    }
    view.setUint16(offset, length, LITTLE_ENDIAN);
    view.setUint16(offset + 2, rawType, LITTLE_ENDIAN);
    bytes.set(value, offset + HEADER_SIZE);
    offset += align4(length);
  }
  return bytes;
}

/**
 * Splits bytes into attributes.
 * @param bytes the part of a payload after its fixed header, or a nested attribute's value; the values are views into it.
 * @throws {NetlinkDecodeError} when a length does not fit the bytes.
 */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes: Attribute[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const left = bytes.length - offset;
    if (left < HEADER_SIZE) {
      throw new NetlinkDecodeError("attribute", offset, `${left} bytes left over`);
    }
    const length = view.getUint16(offset, LITTLE_ENDIAN);
    if (length < HEADER_SIZE || length > left) {
      throw new NetlinkDecodeError(
        "attribute",
        offset,
        `length ${length} with ${left} bytes there`,
      );
    }
    const value = bytes.subarray(offset + HEADER_SIZE, offset + length);
    attributes.push({ rawType: view.getUint16(offset + 2, LITTLE_ENDIAN), value });
    offset += align4(length);
  }
  return attributes;
}

/** Makes attributes from values of the kernel's own kinds. */
export const attr = {
  /** @param value any bytes; kept, not copied. */
  bytes: (type: number, value: Uint8Array): Attribute => ({ rawType: type, value }),
  /** @param value 0 to 2^32 - 1, host order. */
  u32: (type: number, value: number): Attribute => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
    return { rawType: type, value: bytes };
  },
  /** A NUL-terminated string. */
  string: (type: number, value: string): Attribute => ({
    rawType: type,
    value: new TextEncoder().encode(`${value}\0`),
  }),
  /** Attributes inside an attribute. */
  nested: (type: number, attributes: readonly Attribute[]): Attribute => ({
    rawType: type | NESTED,
    value: encodeAttributes(attributes),
  }),
};

/** Reads the attributes of one message by type; where a type comes twice the last one counts, as in the kernel. */
export class AttributeReader {
  readonly #values: ReadonlyMap<number, Uint8Array>;

  constructor(attributes: readonly Attribute[]) {
    this.#values = new Map(attributes.map((each) => [attributeType(each), each.value]));
  }

  /** @returns the value's bytes, or undefined when the attribute is absent. */
  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  /** @returns the bytes when there are exactly `length` of them, else undefined. */
  fixed(type: number, length: number): Uint8Array | undefined {
    const value = this.#values.get(type);
    return value?.length === length ? value : undefined;
  }

  /** @returns an unsigned number of one byte, or undefined when absent or of another size. */
  u8(type: number): number | undefined {
    return this.fixed(type, 1)?.[0];
  }

  /** @returns an unsigned 32-bit number, or undefined when absent or of another size. */
  u32(type: number): number | undefined {
    const value = this.fixed(type, 4);
    return value && new DataView(value.buffer, value.byteOffset, 4).getUint32(0, LITTLE_ENDIAN);
  }

  /** @returns the text up to the first NUL, or undefined when absent. */
  string(type: number): string | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  /**
   * @returns a reader of the attributes inside; an empty one when the attribute is absent.
   * @throws {NetlinkDecodeError} when the value is no list of attributes.
   */
  nested(type: number): AttributeReader {
    const value = this.#values.get(type);
    return new AttributeReader(value === undefined ? [] : decodeAttributes(value));
  }
}
