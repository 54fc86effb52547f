import { Ipv4 } from "./ipv4.ts";
import { NetParseError, type ParseOptions } from "./net_parse_error.ts";

const PREFIX_LEN = /^(?:[0-9]|[12][0-9]|3[0-2])$/;

/** An address together with the subnet that it stands in, as in `10.0.0.7/24`. */
export interface HostInCidr {
  /** The address as written. */
  readonly host: Ipv4;
  /** The subnet: the same prefix length, host bits zero. */
  readonly cidr: Cidr;
}

/** An IPv4 subnet. The address is the network's own: bits beyond the prefix are zero. Immutable. */
export class Cidr {
  /** 0.0.0.0/0 */
  static readonly ALL: Cidr = new Cidr(Ipv4.ANY, 0);

  /** The first address, host bits zero. */
  readonly address: Ipv4;
  /** 0 to 32. */
  readonly prefixLen: number;

  private constructor(address: Ipv4, prefixLen: number) {
    this.address = address;
    this.prefixLen = prefixLen;
  }

  /**
   * Parses `a.b.c.d/n`, strictly: bits beyond the prefix must be zero.
   * @throws {NetParseError}
   */
  static parse(text: string, options: ParseOptions = {}): Cidr {
    const { host, cidr } = Cidr.parseHost(text, options);
    if (!host.equals(cidr.address)) {
      const why = `it has bits beyond the prefix; did you mean ${cidr}?`;
      throw new NetParseError("CIDR", text, why, options);
    }
    return cidr;
  }

  /**
   * Parses `a.b.c.d/n` where the address may be any of the subnet.
   * @throws {NetParseError}
   */
  static parseHost(text: string, options: ParseOptions = {}): HostInCidr {
    const [address, prefixLen, ...rest] = text.split("/");
    if (address === undefined || prefixLen === undefined || rest.length > 0) {
      throw new NetParseError("CIDR", text, "expected address/prefix length", options);
    }
    if (!PREFIX_LEN.test(prefixLen)) {
      const why = `prefix length ${JSON.stringify(prefixLen)} is not a number from 0 to 32`;
      throw new NetParseError("CIDR", text, why, options);
    }
    const host = parseAddress(address, text, options);
    return { host, cidr: Cidr.of(host, Number(prefixLen)) };
  }

  /**
   * The subnet of that size that holds an address.
   * @param prefixLen 0 to 32.
   * @throws {NetParseError} when the prefix length is not.
   */
  static of(address: Ipv4, prefixLen: number, options: ParseOptions = {}): Cidr {
    if (!Number.isInteger(prefixLen) || prefixLen < 0 || prefixLen > 32) {
      const why = "prefix length is not an integer from 0 to 32";
      throw new NetParseError("CIDR", `${address}/${prefixLen}`, why, options);
    }
    return new Cidr(Ipv4.fromU32(network(address.value, prefixLen)), prefixLen);
  }

  /** Orders by address, then shorter prefix first; for Array.prototype.sort. */
  static compare(left: Cidr, right: Cidr): number {
    return Ipv4.compare(left.address, right.address) || left.prefixLen - right.prefixLen;
  }

  /** The number of addresses, 1 to 2^32. */
  get size(): number {
    return 2 ** (32 - this.prefixLen);
  }

  /** The first address: the network's own. */
  get first(): Ipv4 {
    return this.address;
  }

  /** The last address: the broadcast address of a prefix shorter than 31. */
  get last(): Ipv4 {
    return Ipv4.fromU32(this.address.value + this.size - 1);
  }

  /** @returns whether the address, or the whole other subnet, is inside this one. */
  contains(other: Ipv4 | Cidr): boolean {
    if (other instanceof Cidr) {
      return other.prefixLen >= this.prefixLen && this.contains(other.address);
    }
    return network(other.value, this.prefixLen) === this.address.value;
  }

  /** @returns whether the two share an address. */
  overlaps(other: Cidr): boolean {
    return this.contains(other) || other.contains(this);
  }

  /** @returns whether both are the same subnet. */
  equals(other: Cidr): boolean {
    return this.prefixLen === other.prefixLen && this.address.equals(other.address);
  }

  /** @returns `a.b.c.d/n`. */
  toString(): string {
    return `${this.address}/${this.prefixLen}`;
  }

  /** @returns `a.b.c.d/n`, so that subnets in logs and JSON are readable. */
  toJSON(): string {
    return this.toString();
  }
}

/** Arithmetic, not shifts: a JavaScript shift by 32 is a shift by 0. */
function network(value: number, prefixLen: number): number {
  return value - (value % 2 ** (32 - prefixLen));
}

/** Reports the whole CIDR's text, not only the address in it. */
function parseAddress(address: string, text: string, options: ParseOptions): Ipv4 {
  try {
    return Ipv4.parse(address);
  } catch (error) {
    if (!(error instanceof NetParseError)) throw error;
    throw new NetParseError("CIDR", text, error.why, options);
  }
}
