import { isErrno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  AF_INET,
  bind,
  getsockname,
  MSG_DONTWAIT,
  netnsSocket,
  recvfrom,
  sendto,
  setsockopt,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../ffi/sys.ts";
import { openNetns } from "../../netns/netns.ts";
import { eventually } from "../eventually.ts";
import type { LabNetns } from "../lab.ts";
import { decodeAddress, encodeAddress, type SocketAddress } from "./address.ts";

const LARGEST_DATAGRAM = 65536;
const SO_RCVBUFFORCE = 33;

/** Where a socket is bound, and what waits in it. */
export interface UdpSocketOptions extends Partial<SocketAddress> {
  /** Room for datagrams that were not taken yet; default the kernel's. */
  readonly bufferBytes?: number | undefined;
}

/** A datagram and who sent it. */
export interface Datagram {
  readonly from: SocketAddress;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A UDP socket inside a namespace. Errors that ICMP reports about what was sent earlier are left out. */
export class UdpSocket implements Disposable {
  readonly #socket: Fd;
  readonly #buffer = new Uint8Array(LARGEST_DATAGRAM);

  /**
   * @param options.port default one that the kernel chooses
   * @param options.ip default any address of the namespace
   * @throws {SysError} EADDRINUSE and the like
   */
  constructor(
    netns: LabNetns,
    { ip = "0.0.0.0", port = 0, bufferBytes }: UdpSocketOptions = {},
  ) {
    using fd = openNetns(netns.path);
    using stack = new DisposableStack();
    this.#socket = stack.use(netnsSocket(fd.fd, AF_INET, SOCK_DGRAM, 0));
    if (bufferBytes !== undefined) {
      setsockopt(this.#socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
    }
    bind(this.#socket.fd, encodeAddress({ ip, port }));
    stack.move();
  }

  /** Where it is bound. */
  get address(): SocketAddress {
    return decodeAddress(getsockname(this.#socket.fd));
  }

  /** Sends a datagram. @throws {SysError} ENETUNREACH and the like */
  send(to: SocketAddress, data: string | Uint8Array): void {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    sendto(this.#socket.fd, bytes, MSG_DONTWAIT, encodeAddress(to));
  }

  /** @returns the datagrams that have come in since the last call. */
  take(): Datagram[] {
    const datagrams: Datagram[] = [];
    for (let next = this.#receive(); next; next = this.#receive()) datagrams.push(next);
    return datagrams;
  }

  /** @returns the next datagram. @throws {EventuallyError} when none comes in time. */
  async next(timeoutMs = 2000): Promise<Datagram> {
    return await eventually(() => this.#receive(), {
      timeoutMs,
      intervalMs: 1,
      what: `a datagram at ${this.address.ip}:${this.address.port}`,
    });
  }

  /** Closes the socket. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #receive(): Datagram | undefined {
    try {
      const { size, address } = recvfrom(this.#socket.fd, this.#buffer, MSG_DONTWAIT);
      return { from: decodeAddress(address), data: this.#buffer.slice(0, size) };
    } catch (error) {
      if (isErrno(error, "EAGAIN") || isErrno(error, "ECONNREFUSED")) return undefined;
      throw error;
    }
  }
}
