import { isErrno } from "../../shared/ffi/errno.ts";
import {
  AF_PACKET,
  bind,
  getsockopt,
  MSG_DONTWAIT,
  MSG_TRUNC,
  netnsSocket,
  recv,
  SOCK_RAW,
  waitReadable,
  Waker,
} from "../../shared/ffi/sys.ts";
import type { Fd } from "../../shared/ffi/fd.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { openNetns } from "../../shared/netns/mod.ts";

const MAX_SNAPLEN = 65_535;
const ETH_P_ALL = 0x0003;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
/** Frames read before others get a turn. */
const BATCH = 64;
const WAIT_WITHOUT_END = -1;

/** What to capture. */
export interface CaptureOptions {
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** Name of the interface inside. */
  readonly ifName: string;
  /** Bytes to keep of each frame; 0 for the most. */
  readonly snaplen: number;
  /** Frames after which it ends; 0 for no end. */
  readonly maxPackets: bigint;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told how many frames were missed, when it ends. */
  readonly onLost: (packets: number) => void;
}

/** One captured frame. */
export interface CapturedFrame {
  /** Unix, nanoseconds. */
  readonly timestampNs: bigint;
  /** Bytes of the whole frame. */
  readonly originalLen: number;
  readonly data: Uint8Array;
}

/**
 * Captures what a pod sends and receives, inside the pod: packets that the datapath redirects do not
 * pass the host's end. The socket's own buffer is the queue; what does not fit is counted.
 * It ends with the interface.
 * @throws {SysError} when the socket cannot be opened
 */
export async function* capturePackets(options: CaptureOptions): AsyncGenerator<CapturedFrame> {
  const snaplen = Math.min(options.snaplen || MAX_SNAPLEN, MAX_SNAPLEN);
  using socket = openCapture(options.netns, options.ifName);
  using waker = new Waker();
  const wake = () => waker.wake();
  options.signal.addEventListener("abort", wake, { once: true });
  const buffer = new Uint8Array(snaplen);
  let packets = 0n;
  try {
    while (!options.signal.aborted) {
      for (let count = 0; count < BATCH; count++) {
        const frame = readFrame(socket.fd, buffer);
        if (frame === undefined) break;
        yield frame;
        if (++packets === options.maxPackets || options.signal.aborted) return;
      }
      await waitReadable(socket.fd, WAIT_WITHOUT_END, waker);
    }
  } catch (error) {
    if (!isErrno(error, "ENETDOWN")) throw error;
  } finally {
    options.signal.removeEventListener("abort", wake);
    options.onLost(lostPackets(socket.fd));
  }
}

function openCapture(netnsPath: string, ifName: string): Fd {
  using netns = openNetns(netnsPath);
  using links = RtnetlinkSocket.openIn(netns);
  const { index } = links.linkGet(ifName);
  using stack = new DisposableStack();
  // Protocol 0: nothing arrives before it is bound to the one interface.
  const socket = stack.use(netnsSocket(netns.fd, AF_PACKET, SOCK_RAW, 0));
  bind(socket.fd, packetAddress(index));
  stack.move();
  return socket;
}

/** struct sockaddr_ll (packet(7)) for all protocols on one interface. */
function packetAddress(ifindex: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL, false);
  view.setInt32(4, ifindex, true);
  return address;
}

function readFrame(fd: number, buffer: Uint8Array): CapturedFrame | undefined {
  try {
    const originalLen = recv(fd, buffer, MSG_DONTWAIT | MSG_TRUNC);
    return {
      timestampNs: BigInt(Date.now()) * 1_000_000n,
      originalLen,
      data: buffer.slice(0, Math.min(originalLen, buffer.length)),
    };
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return undefined;
    throw error;
  }
}

/** struct tpacket_stats: packets, drops. */
function lostPackets(fd: number): number {
  const stats = getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, 8);
  return new DataView(stats.buffer, stats.byteOffset).getUint32(4, true);
}
