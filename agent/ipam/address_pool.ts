import { type Cidr, Ipv4 } from "../../shared/net/mod.ts";

/** Why an address cannot be given. */
export class AddressError extends Error {
  override readonly name = "AddressError";
  /** gRPC RESOURCE_EXHAUSTED, FAILED_PRECONDITION or INVALID_ARGUMENT. */
  readonly rpcCode: 8 | 9 | 3;

  /**
   * @param reason `exhausted`: none is left; `in-use`: the one asked for is taken; `invalid`: it can
   *   never be a pod's on this node
   * @param address the address asked for, undefined when any would do
   */
  constructor(
    readonly reason: "exhausted" | "in-use" | "invalid",
    readonly address: Ipv4 | undefined,
    message: string,
  ) {
    super(message);
    this.rpcCode = RPC_CODES[reason];
  }
}

const RPC_CODES = { exhausted: 8, "in-use": 9, invalid: 3 } as const;

/** What the pool knows about addresses when it is made. */
export interface PoolState {
  /** Addresses in use, as unsigned 32-bit numbers. */
  readonly used: Iterable<number>;
  /** Addresses that rest, and when they were released (Unix, milliseconds). */
  readonly resting: Iterable<readonly [ip: number, releasedUnixMs: number]>;
}

/**
 * Decides which address is next. Pure: it neither stores nor reads a clock, so the same calls give
 * the same answers. The gateway (.1), the network's and the broadcast address are never given.
 */
export class AddressPool {
  /** The pods' default gateway: the first host address. */
  readonly gateway: Ipv4;
  readonly #cidr: Cidr;
  readonly #restMs: number;
  readonly #used: Set<number>;
  /** Oldest release first. */
  readonly #resting: Map<number, number>;
  readonly #isForeign: (ip: number) => boolean;
  #cursor: number;

  /**
   * @param cidr addresses of this node's pods, /30 or larger
   * @param restMs how long a released address is kept back, in milliseconds
   * @param isForeign says of an address that somebody else on this host has it
   */
  constructor(
    cidr: Cidr,
    restMs: number,
    state: PoolState,
    isForeign: (ip: number) => boolean = () => false,
  ) {
    this.#cidr = cidr;
    this.#restMs = restMs;
    this.gateway = Ipv4.fromU32(cidr.first.value + 1);
    this.#used = new Set(state.used);
    this.#resting = new Map([...state.resting].sort((a, b) => a[1] - b[1] || a[0] - b[0]));
    this.#isForeign = isForeign;
    this.#cursor = this.#first;
  }

  /** How many addresses of the CIDR a pod can ever have. */
  get total(): number {
    return this.#last - this.#first + 1;
  }

  /** How many addresses of the CIDR are in use. */
  get used(): number {
    return [...this.#used].filter((ip) => this.#isOwn(ip)).length;
  }

  /** How many addresses are in use that this CIDR does not have: those of an earlier one. */
  get outside(): number {
    return this.#used.size - this.used;
  }

  /**
   * Takes the next free address: one that does not rest, else, rather than fail, the one that has
   * rested longest.
   * @param nowUnixMs the time, Unix, milliseconds
   * @throws {AddressError} reason `exhausted`
   */
  allocate(nowUnixMs: number): Ipv4 {
    const ip = this.#nextFree(nowUnixMs) ?? this.#longestRested();
    if (ip === undefined) {
      const message = `all ${this.total} pod addresses of ${this.#cidr} are in use`;
      throw new AddressError("exhausted", undefined, message);
    }
    this.#take(ip);
    this.#cursor = ip === this.#last ? this.#first : ip + 1;
    return Ipv4.fromU32(ip);
  }

  /**
   * Takes the address asked for, resting or not.
   * @throws {AddressError} reason `invalid` or `in-use`
   */
  allocateRequested(address: Ipv4): void {
    const ip = address.value;
    const why = this.#whyNever(address);
    if (why !== undefined) {
      throw new AddressError("invalid", address, `address ${address} cannot be given: ${why}`);
    }
    if (this.#used.has(ip) || this.#isForeign(ip)) {
      throw new AddressError("in-use", address, `address ${address} is already in use`);
    }
    this.#take(ip);
  }

  /** Takes an address that is in use already, whoever gave it. */
  reserve(address: Ipv4): void {
    this.#take(address.value);
  }

  /**
   * Gives an address back; from now it rests. One that is not in use stays as it is.
   * @param nowUnixMs the time, Unix, milliseconds
   */
  release(address: Ipv4, nowUnixMs: number): void {
    if (!this.#used.delete(address.value)) return;
    this.#resting.delete(address.value);
    this.#resting.set(address.value, nowUnixMs);
  }

  /** Gives back an address that no packet ever carried: it need not rest. */
  cancel(address: Ipv4): void {
    this.#used.delete(address.value);
  }

  get #first(): number {
    return this.#cidr.first.value + 2;
  }

  get #last(): number {
    return this.#cidr.last.value - 1;
  }

  #take(ip: number): void {
    this.#used.add(ip);
    this.#resting.delete(ip);
  }

  #whyNever(address: Ipv4): string | undefined {
    if (!this.#cidr.contains(address)) return `it is outside this node's pod CIDR ${this.#cidr}`;
    if (address.equals(this.gateway)) return "it is the gateway's";
    if (address.value < this.#first) return "it is the network's own";
    if (address.value > this.#last) return "it is the broadcast address";
    return undefined;
  }

  #nextFree(nowUnixMs: number): number | undefined {
    const [first, total] = [this.#first, this.total];
    for (let step = 0; step < total; step++) {
      const ip = first + (this.#cursor - first + step) % total;
      if (this.#isFree(ip) && !this.#rests(ip, nowUnixMs)) return ip;
    }
    return undefined;
  }

  #longestRested(): number | undefined {
    for (const ip of this.#resting.keys()) {
      if (this.#isOwn(ip) && this.#isFree(ip)) return ip;
    }
    return undefined;
  }

  #isOwn(ip: number): boolean {
    return ip >= this.#first && ip <= this.#last;
  }

  #isFree(ip: number): boolean {
    return !this.#used.has(ip) && !this.#isForeign(ip);
  }

  /** A release in the future, from a clock that was set back, counts as just now. */
  #rests(ip: number, nowUnixMs: number): boolean {
    const released = this.#resting.get(ip);
    if (released === undefined) return false;
    return Math.max(0, nowUnixMs - released) < this.#restMs;
  }
}
