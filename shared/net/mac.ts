import type { Ipv4 } from "./ipv4.ts";
import { NetParseError, type ParseOptions } from "./net_parse_error.ts";

const TEXT = /^[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}$/;

/** A 48-bit Ethernet address. Immutable. */
export class Mac {
  /** 00:00:00:00:00:00 */
  static readonly ZERO: Mac = new Mac(new Uint8Array(6));
  /** ff:ff:ff:ff:ff:ff */
  static readonly BROADCAST: Mac = new Mac(new Uint8Array(6).fill(0xff));

  readonly #bytes: Uint8Array<ArrayBuffer>;

  private constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /**
   * Parses six pairs of hexadecimal digits with colons between, in either case.
   * @throws {NetParseError}
   */
  static parse(text: string, options: ParseOptions = {}): Mac {
    if (!TEXT.test(text)) {
      throw new NetParseError(
        "MAC address",
        text,
        "expected six pairs like 02:fe:0a:00:00:01",
        options,
      );
    }
    return new Mac(Uint8Array.from(text.split(":"), (pair) => Number.parseInt(pair, 16)));
  }

  /**
   * @param bytes exactly 6; copied.
   * @throws {NetParseError} when there are not 6.
   */
  static fromBytes(bytes: Uint8Array, options: ParseOptions = {}): Mac {
    if (bytes.length !== 6) {
      const why = `expected 6 bytes, got ${bytes.length}`;
      throw new NetParseError("MAC address", String(bytes), why, options);
    }
    return new Mac(Uint8Array.from(bytes));
  }

  /** The MAC of the pod with this address: 02:fe and the four octets (wire/novanet.md section 10). */
  static forPod(ip: Ipv4): Mac {
    return new Mac(Uint8Array.from([0x02, 0xfe, ...ip.toBytes()]));
  }

  /** The 6 bytes in wire order: a fresh copy, the caller's own. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice();
  }

  /** Whether it names a group of stations (broadcast included). */
  get isMulticast(): boolean {
    return ((this.#bytes[0] ?? 0) & 1) === 1;
  }

  /** @returns whether both are the same address. */
  equals(other: Mac): boolean {
    return this.#bytes.every((byte, index) => byte === other.#bytes[index]);
  }

  /** @returns six lower-case pairs with colons between. */
  toString(): string {
    return Array.from(this.#bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
  }

  /** @returns the text, so that addresses in logs and JSON are readable. */
  toJSON(): string {
    return this.toString();
  }
}
