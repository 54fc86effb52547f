import { isErrno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { AF_INET, bind, MSG_DONTWAIT, netnsSocket, recv, sendto, SOCK_RAW } from "../../ffi/sys.ts";
import { Ipv4 } from "../../net/ipv4.ts";
import { openNetns } from "../../netns/netns.ts";
import type { LabNetns } from "../lab.ts";
import { type Bytes, viewOf } from "../packets/bytes.ts";
import type { TransportLayer } from "../packets/ipv4.ts";
import { encodeAddress } from "./address.ts";

/** Sends packets of one protocol from one of a namespace's addresses; the kernel makes their IPv4 header and routes them. */
export class PacketSender implements Disposable {
  readonly #socket: Fd;
  readonly #src: string;

  /** @param protocol the IP protocol's number @throws {SysError} EADDRNOTAVAIL and the like */
  constructor(netns: LabNetns, protocol: number, src: string) {
    using fd = openNetns(netns.path);
    using stack = new DisposableStack();
    this.#socket = stack.use(netnsSocket(fd.fd, AF_INET, SOCK_RAW, protocol));
    this.#src = src;
    bind(this.#socket.fd, encodeAddress({ ip: src, port: 0 }));
    stack.move();
  }

  /** @throws {SysError} ENETUNREACH and the like */
  send(dst: string, payload: TransportLayer): void {
    const bytes = payload.build(Ipv4.parse(this.#src), Ipv4.parse(dst));
    sendto(this.#socket.fd, bytes, MSG_DONTWAIT, encodeAddress({ ip: dst, port: 0 }));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/**
 * Sends one packet of any protocol, as a {@linkcode PacketSender}.
 * @throws {SysError} EADDRNOTAVAIL, ENETUNREACH and the like
 */
export function sendPacket(
  netns: LabNetns,
  { src, dst }: { readonly src: string; readonly dst: string },
  payload: TransportLayer,
): void {
  using sender = new PacketSender(netns, payload.protocol, src);
  sender.send(dst, payload);
}

/** A packet that reached a namespace's own addresses. */
export interface ReceivedPacket {
  readonly src: string;
  readonly dst: string;
  /** What follows the IPv4 header. */
  readonly payload: Bytes;
}

/** Sees every packet of one protocol that is for the namespace itself, beside whoever else listens. */
export class PacketReceiver implements Disposable {
  readonly #socket: Fd;
  readonly #buffer = new Uint8Array(65536);

  /** @param protocol the IP protocol's number */
  constructor(netns: LabNetns, protocol: number) {
    using fd = openNetns(netns.path);
    this.#socket = netnsSocket(fd.fd, AF_INET, SOCK_RAW, protocol);
  }

  /** @returns the packets that have come in since the last call. */
  take(): ReceivedPacket[] {
    const packets: ReceivedPacket[] = [];
    for (let next = this.#receive(); next; next = this.#receive()) packets.push(next);
    return packets;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #receive(): ReceivedPacket | undefined {
    try {
      const packet = this.#buffer.slice(0, recv(this.#socket.fd, this.#buffer, MSG_DONTWAIT));
      const address = (offset: number) => Ipv4.fromU32(viewOf(packet).getUint32(offset)).toString();
      const payload = packet.slice(((packet[0] ?? 0) & 0xf) * 4);
      return { src: address(12), dst: address(16), payload };
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
  }
}
