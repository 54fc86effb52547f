/** Packet sockets: whole frames as an interface sends and receives them (packet(7)). */
import { SysError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { shim } from "./library.ts";
import type { Bytes } from "./memory.ts";
import {
  AF_PACKET,
  bind,
  getsockopt,
  netnsSocket,
  sendto,
  setsockopt,
  SOCK_RAW,
  SOL_SOCKET,
  waitReadable,
  type Waker,
} from "./sys.ts";

const ETH_P_ALL_BE = 0x0300;
const SO_RCVBUFFORCE = 33;
const SO_TIMESTAMPNS = 35;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_AUXDATA = 8;
const PACKET_IGNORE_OUTGOING = 23;
const FRAME_INFO_SIZE = 24;
const VLAN_TAG_AT = 12;
const VLAN_TAG_BYTES = 4;

/** One frame. */
export interface CapturedFrame {
  /** When the kernel saw it, ns since 1970. */
  readonly timestampNs: bigint;
  /** From the Ethernet header, at most snaplen bytes; the caller's own. */
  readonly data: Bytes;
  /** Bytes that it had, a VLAN tag included. */
  readonly originalLength: number;
}

/** What a packet socket saw since the statistics were last read. */
export interface PacketStatistics {
  /** Frames, those lost included. */
  readonly frames: number;
  /** Frames for which the socket's buffer had no room. */
  readonly lost: number;
}

/** How a packet socket is opened. */
export interface PacketSocketOptions {
  /** An open network namespace; the interface is in it. */
  readonly netnsFd: number;
  readonly ifindex: number;
  /** Keep so many bytes of a frame; 256 KiB holds the largest. */
  readonly snaplen?: number;
  /** The kernel's buffer. */
  readonly bufferBytes?: number;
  /** Leave out what the interface sends. Kernel 4.20. */
  readonly incomingOnly?: boolean;
}

/** Sees every frame of one interface, in both directions. */
export class PacketSocket implements Disposable {
  readonly #socket: Fd;
  readonly #snaplen: number;
  readonly #buffer: Bytes;
  readonly #info = new DataView(new ArrayBuffer(FRAME_INFO_SIZE));

  /** @throws SysError ENODEV when there is no such interface */
  constructor(
    { netnsFd, ifindex, snaplen = 262144, bufferBytes = 4 << 20, incomingOnly = false }:
      PacketSocketOptions,
  ) {
    this.#snaplen = snaplen;
    this.#buffer = new Uint8Array(snaplen);
    using stack = new DisposableStack();
    // Protocol 0 receives nothing before bind() has named the interface.
    this.#socket = stack.use(netnsSocket(netnsFd, AF_PACKET, SOCK_RAW, 0));
    const { fd } = this.#socket;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, 1);
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, incomingOnly ? 1 : 0);
    bind(fd, linkLayerAddress(ifindex));
    stack.move();
  }

  /** The next frame, undefined when none waits. @throws SysError ENETDOWN once when the interface went down */
  receive(): CapturedFrame | undefined {
    const info = new Uint8Array(this.#info.buffer);
    const result = shim().nv_packet_recv(this.#socket.fd, this.#buffer, this.#snaplen, info);
    if (result < 0) {
      const error = new SysError("receive a frame", -result);
      if (error.code === "EAGAIN" || error.code === "EINTR") return undefined;
      throw error;
    }
    const timestampNs = this.#info.getBigInt64(0, true);
    const captured = this.#buffer.subarray(0, this.#info.getUint32(8, true));
    const length = this.#info.getUint32(12, true);
    const vlan = this.#info.getUint32(16, true);
    if (vlan === 0) return { timestampNs, data: captured.slice(), originalLength: length };
    return {
      timestampNs,
      data: withVlanTag(captured, vlan).slice(0, this.#snaplen),
      originalLength: length + VLAN_TAG_BYTES,
    };
  }

  /** Sends a whole frame out of the interface. @throws SysError */
  send(frame: Uint8Array): void {
    sendto(this.#socket.fd, frame);
  }

  /** Waits on a thread of its own for a frame. @see waitReadable */
  wait(timeoutMs: number, waker?: Waker): Promise<boolean> {
    return waitReadable(this.#socket.fd, timeoutMs, waker);
  }

  /** Frames seen and lost since the last call. @throws SysError */
  statistics(): PacketStatistics {
    const bytes = getsockopt(this.#socket.fd, SOL_PACKET, PACKET_STATISTICS, 8);
    const view = new DataView(bytes.buffer);
    return { frames: view.getUint32(0, true), lost: view.getUint32(4, true) };
  }

  /** Closes the socket: only when no wait() goes on. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** struct sockaddr_ll of every protocol on one interface. */
function linkLayerAddress(ifindex: number): Bytes {
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL_BE, true);
  address.setInt32(4, ifindex, true);
  return new Uint8Array(address.buffer);
}

/** The frame with the tag (TPID << 16 | TCI) back where the kernel took it off. */
function withVlanTag(frame: Bytes, tag: number): Bytes {
  const tagged = new Uint8Array(frame.byteLength + VLAN_TAG_BYTES);
  tagged.set(frame.subarray(0, VLAN_TAG_AT));
  new DataView(tagged.buffer).setUint32(VLAN_TAG_AT, tag);
  tagged.set(frame.subarray(VLAN_TAG_AT), VLAN_TAG_AT + VLAN_TAG_BYTES);
  return tagged;
}
