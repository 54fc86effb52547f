import { getLogger } from "../../shared/log.ts";
import type { Ipv4 } from "../../shared/net/mod.ts";
import { NetlinkEvents, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { hostAddresses, type HostNetwork, readHostNetwork } from "./node_facts.ts";

const log = getLogger("agent/host");

/** Follows the host's own addresses by the kernel's events. */
export class HostWatch implements AsyncDisposable {
  readonly #socket: RtnetlinkSocket;
  readonly #events: NetlinkEvents;
  readonly #onChange: () => void;
  #addresses: readonly Ipv4[];
  #values: ReadonlySet<number>;
  #reading: Promise<void> | undefined;

  /**
   * @param onChange called after the set of addresses changed
   * @throws {SysError | NetlinkError}
   */
  constructor(onChange: () => void) {
    using stack = new DisposableStack();
    this.#socket = stack.use(RtnetlinkSocket.openIn());
    this.#events = stack.use(NetlinkEvents.openIn(undefined, { kinds: ["address"] }));
    this.#onChange = onChange;
    this.#addresses = hostAddresses(this.network());
    this.#values = valuesOf(this.#addresses);
    stack.move();
  }

  /** The host's own addresses, in order. */
  get addresses(): readonly Ipv4[] {
    return this.#addresses;
  }

  /** Whether an address, as a number, is the host's own. */
  has(ip: number): boolean {
    return this.#values.has(ip);
  }

  /** Links, addresses and routes as they are now. @throws {NetlinkError} */
  network(): HostNetwork {
    return readHostNetwork(this.#socket);
  }

  /** Begins to follow. */
  start(): void {
    this.#reading ??= this.#read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.close();
    await this.#reading;
    this.#socket.close();
  }

  async #read(): Promise<void> {
    try {
      for await (const _ of this.#events) this.#refresh();
    } catch (error) {
      log.error("cannot follow the host's addresses any more", { error });
    }
  }

  #refresh(): void {
    const addresses = hostAddresses(this.network());
    if (addresses.map(String).join() === this.#addresses.map(String).join()) return;
    this.#addresses = addresses;
    this.#values = valuesOf(addresses);
    log.info("the host's addresses changed", { addresses: addresses.map(String).join(" ") });
    this.#onChange();
  }
}

function valuesOf(addresses: readonly Ipv4[]): ReadonlySet<number> {
  return new Set(addresses.map(({ value }) => value));
}
