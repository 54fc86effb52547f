import { isErrno } from "../ffi/errno.ts";
import { waitReadable, Waker } from "../ffi/sys.ts";
import type { Netns } from "../netns/netns.ts";
import { decodeAddress, type InterfaceAddress } from "./address.ts";
import { MessageType, RtnetlinkGroup } from "./constants.ts";
import { decodeLink, type Link } from "./link.ts";
import { decodeMessages, type NetlinkMessage } from "./message.ts";
import { NetlinkSocket } from "./netlink_socket.ts";
import { decodeRoute, type Route } from "./route.ts";

const DEFAULT_BUFFER_BYTES = 1 << 20;
const WAIT_WITHOUT_END = -1;

/** Something that happened in a network namespace. */
export type NetlinkEvent =
  | { readonly kind: "link"; readonly deleted: boolean; readonly link: Link }
  | { readonly kind: "address"; readonly deleted: boolean; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly deleted: boolean; readonly route: Route }
  /** The kernel dropped events because they were not read in time: list everything again. */
  | { readonly kind: "resync" };

/** What to be told of. */
export interface NetlinkEventsOptions {
  /** Default: links, IPv4 addresses and IPv4 routes. */
  readonly kinds?: readonly ("link" | "address" | "route")[] | undefined;
  /** How much the kernel holds for a slow reader, bytes; default 1 MiB. */
  readonly bufferSizeBytes?: number | undefined;
}

const GROUPS = {
  link: RtnetlinkGroup.LINK,
  address: RtnetlinkGroup.IPV4_IFADDR,
  route: RtnetlinkGroup.IPV4_ROUTE,
} as const;

/**
 * The changes in a network namespace from the moment it is opened, for one reader. The queue is the kernel's, of
 * bounded size; when it runs over, one `resync` event stands for what was lost.
 */
export class NetlinkEvents implements AsyncIterable<NetlinkEvent>, Disposable {
  readonly #socket: NetlinkSocket;
  readonly #waker: Waker;
  #waiting = false;
  #closed = false;
  #overruns = 0;

  private constructor(socket: NetlinkSocket, waker: Waker) {
    this.#socket = socket;
    this.#waker = waker;
  }

  /**
   * Subscribes in a network namespace, undefined for the process's own. The caller closes it.
   * @throws {SysError}
   */
  static openIn(netns?: Netns, options: NetlinkEventsOptions = {}): NetlinkEvents {
    using stack = new DisposableStack();
    const socket = stack.use(NetlinkSocket.open(netns));
    const waker = stack.use(new Waker());
    socket.setReceiveBuffer(options.bufferSizeBytes ?? DEFAULT_BUFFER_BYTES);
    for (const kind of options.kinds ?? ["link", "address", "route"]) socket.join(GROUPS[kind]);
    stack.move();
    return new NetlinkEvents(socket, waker);
  }

  /** How often the kernel's queue ran over. */
  get overruns(): number {
    return this.#overruns;
  }

  /**
   * Ends the iteration and the thread that waits for it; a second call does nothing.
   * Descriptors are closed when the waiting thread has let go of them.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#waiting) this.#waker.wake();
    else this.#release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Gives events as they come, until close(). Leaving the loop early closes the subscription.
   * @throws {SysError} when the socket fails.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<NetlinkEvent, void, void> {
    try {
      while (!this.#closed) {
        yield* this.#take();
        if (!this.#closed) await this.#wait();
      }
    } finally {
      this.close();
    }
  }

  /** One datagram's events; none when nothing waits. */
  *#take(): Generator<NetlinkEvent, void, void> {
    for (let events = this.#receive(); events !== undefined; events = this.#receive()) {
      for (const event of events) {
        if (this.#closed) return;
        yield event;
      }
    }
  }

  /** @returns undefined when nothing waits. */
  #receive(): NetlinkEvent[] | undefined {
    if (this.#closed) return undefined;
    try {
      return decodeMessages(this.#socket.receive()).flatMap(decodeEvent);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      if (!isErrno(error, "ENOBUFS")) throw error;
      this.#overruns++;
      this.#discard();
      return [{ kind: "resync" }];
    }
  }

  /**
   * After an overrun the kernel drops silently until its queue is empty. It is emptied before the reader looks
   * again, or changes in between would be lost for good.
   */
  #discard(): void {
    for (;;) {
      try {
        this.#socket.receive();
      } catch (error) {
        if (isErrno(error, "EAGAIN")) return;
        if (!isErrno(error, "ENOBUFS")) throw error;
      }
    }
  }

  async #wait(): Promise<void> {
    this.#waiting = true;
    try {
      await waitReadable(this.#socket.fd, WAIT_WITHOUT_END, this.#waker);
    } finally {
      this.#waiting = false;
      if (this.#closed) this.#release();
    }
  }

  #release(): void {
    this.#socket.close();
    this.#waker.close();
  }
}

function decodeEvent({ type, payload }: NetlinkMessage): NetlinkEvent[] {
  switch (type) {
    case MessageType.NEWLINK:
    case MessageType.DELLINK:
      return [{ kind: "link", deleted: type === MessageType.DELLINK, link: decodeLink(payload) }];
    case MessageType.NEWADDR:
    case MessageType.DELADDR: {
      const address = decodeAddress(payload);
      return address ? [{ kind: "address", deleted: type === MessageType.DELADDR, address }] : [];
    }
    case MessageType.NEWROUTE:
    case MessageType.DELROUTE: {
      const route = decodeRoute(payload);
      return route ? [{ kind: "route", deleted: type === MessageType.DELROUTE, route }] : [];
    }
    default:
      return [];
  }
}
