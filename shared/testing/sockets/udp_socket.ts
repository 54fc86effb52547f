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
  SOCK_DGRAM,
} from "../../ffi/sys.ts";
import { openNetns } from "../../netns/netns.ts";
import { eventually } from "../eventually.ts";
import type { LabNetns } from "../lab.ts";
import { decodeAddress, encodeAddress, type SocketAddress } from "./address.ts";

const LARGEST_DATAGRAM = 65536;

/** A datagram and who sent it. */
export interface Datagram {
  readonly from: SocketAddress;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A UDP socket inside a namespace. Errors that ICMP reports about what was sent earlier are left out. */
export class UdpSocket implements Disposable {
  readonly #socket: Fd;

  /**
   * @param options.port default one that the kernel chooses
   * @param options.ip default any address of the namespace
   * @throws {SysError} EADDRINUSE and the like
   */
  constructor(netns: LabNetns, { ip = "0.0.0.0", port = 0 }: Partial<SocketAddress> = {}) {
    using fd = openNetns(netns.path);
    using stack = new DisposableStack();
    this.#socket = stack.use(netnsSocket(fd.fd, AF_INET, SOCK_DGRAM, 0));
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
    const buffer = new Uint8Array(LARGEST_DATAGRAM);
    try {
      const { size, address } = recvfrom(this.#socket.fd, buffer, MSG_DONTWAIT);
      return { from: decodeAddress(address), data: buffer.slice(0, size) };
    } catch (error) {
      if (isErrno(error, "EAGAIN") || isErrno(error, "ECONNREFUSED")) return undefined;
      throw error;
    }
  }
}
