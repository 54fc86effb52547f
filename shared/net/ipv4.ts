import { NetParseError, type ParseOptions } from "./net_parse_error.ts";

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

/**
 * An IPv4 address. Its number is a<<24 | b<<16 | c<<8 | d, unsigned, the same that travels in
 * novanet.v1 messages; on an Ethernet wire it is written big-endian. Immutable.
 */
export class Ipv4 {
  /** 0.0.0.0 */
  static readonly ANY: Ipv4 = new Ipv4(0);

  /** The address as an unsigned 32-bit number. */
  readonly value: number;

  private constructor(value: number) {
    this.value = value;
  }

  /**
   * Parses four decimal octets; no leading zeros, spaces or short forms.
   * @throws {NetParseError}
   */
  static parse(text: string, options: ParseOptions = {}): Ipv4 {
    const octets = text.split(".");
    if (octets.length !== 4) {
      throw new NetParseError("IPv4 address", text, "expected four octets like 10.0.0.1", options);
    }
    let value = 0;
    for (const octet of octets) {
      if (!OCTET.test(octet) || Number(octet) > 255) {
        const why = `octet ${JSON.stringify(octet)} is not a decimal number from 0 to 255`;
        throw new NetParseError("IPv4 address", text, why, options);
      }
      value = value * 256 + Number(octet);
    }
    return new Ipv4(value);
  }

  /**
   * @param value unsigned, 0 to 2^32 - 1.
   * @throws {NetParseError} when it is no such integer.
   */
  static fromU32(value: number, options: ParseOptions = {}): Ipv4 {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      const why = "expected an integer from 0 to 4294967295";
      throw new NetParseError("IPv4 address", String(value), why, options);
    }
    return new Ipv4(value);
  }

  /**
   * @param bytes exactly 4, in network order.
   * @throws {NetParseError} when there are not 4.
   */
  static fromBytes(bytes: Uint8Array, options: ParseOptions = {}): Ipv4 {
    if (bytes.length !== 4) {
      const why = `expected 4 bytes, got ${bytes.length}`;
      throw new NetParseError("IPv4 address", String(bytes), why, options);
    }
    return new Ipv4(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0));
  }

  /** Orders by number; for Array.prototype.sort. */
  static compare(left: Ipv4, right: Ipv4): number {
    return left.value - right.value;
  }

  /** @returns the address as an unsigned 32-bit number. */
  toU32(): number {
    return this.value;
  }

  /** @returns 4 fresh bytes in network order. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.value);
    return bytes;
  }

  /** @returns whether both are the same address. */
  equals(other: Ipv4): boolean {
    return this.value === other.value;
  }

  /** @returns dotted decimal. */
  toString(): string {
    return this.toBytes().join(".");
  }

  /** @returns dotted decimal, so that addresses in logs and JSON are readable. */
  toJSON(): string {
    return this.toString();
  }
}
