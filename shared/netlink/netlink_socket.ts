import { SysError } from "../ffi/errno.ts";
import type { Fd } from "../ffi/fd.ts";
import * as sys from "../ffi/sys.ts";
import { type Netns, withNetnsFd } from "../netns/netns.ts";
import { Family, LITTLE_ENDIAN } from "./constants.ts";
import type { NetlinkTransport } from "./exchange.ts";

const NETLINK_ROUTE = 0;
const SOCKADDR_SIZE = 12;
const PORT_OFFSET = 4;
/** The kernel fills at most 32 KiB of a dump at once; a single message of ours is far smaller. */
const BUFFER_SIZE_BYTES = 65536;
const EMSGSIZE = 90;

const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SO_RCVBUFFORCE = 33;

/** One buffer for all sockets: whoever receives has read it before anyone receives again. */
const buffer = new Uint8Array(BUFFER_SIZE_BYTES);

/** A socket of the rtnetlink family. It belongs to the network namespace where it was opened. */
export class NetlinkSocket implements NetlinkTransport, Disposable {
  readonly #fd: Fd;
  readonly portId: number;

  private constructor(fd: Fd, portId: number) {
    this.#fd = fd;
    this.portId = portId;
  }

  /**
   * Opens a socket in a namespace. The caller closes it.
   * @throws {SysError}
   */
  static open(netns: Netns): NetlinkSocket {
    using stack = new DisposableStack();
    const fd = stack.use(openFd(netns));
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) {
      sys.setsockopt(fd.fd, sys.SOL_NETLINK, option, 1);
    }
    const address = new Uint8Array(SOCKADDR_SIZE);
    new DataView(address.buffer).setUint16(0, Family.NETLINK, LITTLE_ENDIAN);
    sys.bind(fd.fd, address);
    const socket = new NetlinkSocket(fd, portOf(sys.getsockname(fd.fd)));
    stack.move();
    return socket;
  }

  /** The descriptor; it stays this object's. @throws {UseAfterCloseError} */
  get fd(): number {
    return this.#fd.fd;
  }

  /**
   * Joins a multicast group and so gets its notifications.
   * @param group RTNLGRP_*.
   * @throws {SysError}
   */
  join(group: number): void {
    sys.setsockopt(this.fd, sys.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /**
   * Sets how much the kernel holds for this socket before it drops. Needs CAP_NET_ADMIN.
   * @throws {SysError}
   */
  setReceiveBuffer(sizeBytes: number): void {
    sys.setsockopt(this.fd, sys.SOL_SOCKET, SO_RCVBUFFORCE, sizeBytes);
  }

  /** @throws {SysError} */
  send(datagram: Uint8Array): void {
    sys.sendto(this.fd, datagram);
  }

  /**
   * Sends on a thread of its own; settled when the kernel has dealt with it. Not to be closed before.
   * @throws {SysError}
   */
  async sendAsync(datagram: Uint8Array): Promise<void> {
    await sys.sendAsync(this.fd, datagram);
  }

  /**
   * @returns the next datagram of the kernel's; valid until the next call on any socket.
   * @throws {SysError} EAGAIN when there is none, ENOBUFS when the kernel dropped some, EMSGSIZE when one is too long.
   */
  receive(): Uint8Array {
    for (;;) {
      const { size, address } = sys.recvfrom(this.fd, buffer, sys.MSG_DONTWAIT | sys.MSG_TRUNC);
      // Any process may send to a netlink socket; the kernel's own port is 0.
      if (portOf(address) !== 0) continue;
      if (size > buffer.length) throw new SysError("receive netlink message", EMSGSIZE);
      return buffer.subarray(0, size);
    }
  }

  /** Closes the socket; a second call does nothing. */
  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openFd(netns: Netns): Fd {
  if (netns === undefined) return sys.socket(sys.AF_NETLINK, sys.SOCK_RAW, NETLINK_ROUTE);
  return withNetnsFd(
    netns,
    (fd) => sys.netnsSocket(fd, sys.AF_NETLINK, sys.SOCK_RAW, NETLINK_ROUTE),
  );
}

function portOf(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint32(PORT_OFFSET, LITTLE_ENDIAN);
}
