import { isErrno } from "../../shared/ffi/errno.ts";
import { PacketSocket } from "../../shared/ffi/packet_socket.ts";
import { Waker } from "../../shared/ffi/sys.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { openNetns } from "../../shared/netns/mod.ts";

const MAX_SNAPLEN = 65_535;
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
export interface PodFrame {
  /** When the kernel saw it, Unix, nanoseconds. */
  readonly timestampNs: bigint;
  /** Bytes of the whole frame, a VLAN tag included. */
  readonly originalLen: number;
  readonly data: Uint8Array;
}

/**
 * Captures what a pod sends and receives, inside the pod: packets that the datapath redirects do not
 * pass the host's end. The socket's own buffer is the queue; what does not fit is counted.
 * It ends with the interface.
 * @throws {NetlinkError | SysError} when the socket cannot be opened
 */
export async function* capturePackets(options: CaptureOptions): AsyncGenerator<PodFrame> {
  const { signal, maxPackets, onLost } = options;
  using socket = openCapture(options);
  using waker = new Waker();
  const wake = () => waker.wake();
  signal.addEventListener("abort", wake, { once: true });
  let packets = 0n;
  try {
    while (!signal.aborted) {
      for (const frame of waitingFrames(socket)) {
        yield frame;
        if (++packets === maxPackets || signal.aborted) return;
      }
      await socket.wait(WAIT_WITHOUT_END, waker);
    }
  } catch (error) {
    if (!isErrno(error, "ENETDOWN")) throw error;
  } finally {
    signal.removeEventListener("abort", wake);
    onLost(socket.statistics().lost);
  }
}

/** At most a batch of the frames that the kernel holds. */
function* waitingFrames(socket: PacketSocket): Generator<PodFrame> {
  for (let count = 0; count < BATCH; count++) {
    const frame = socket.receive();
    if (frame === undefined) return;
    const { timestampNs, originalLength: originalLen, data } = frame;
    yield { timestampNs, originalLen, data };
  }
}

function openCapture({ netns: path, ifName, snaplen }: CaptureOptions): PacketSocket {
  using netns = openNetns(path);
  using links = RtnetlinkSocket.openIn(netns);
  const { index } = links.linkGet(ifName);
  return new PacketSocket({
    netnsFd: netns.fd,
    ifindex: index,
    snaplen: Math.min(snaplen || MAX_SNAPLEN, MAX_SNAPLEN),
  });
}
