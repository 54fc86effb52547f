import { LinkFlag, type RtnetlinkSocket } from "../../shared/netlink/mod.ts";

const POLL_MS = 2;

/** A link, and a socket in its network namespace. */
export interface LinkEnd {
  readonly socket: RtnetlinkSocket;
  readonly link: string;
}

/**
 * Waits until links are running (IFF_RUNNING). A carrier that appears gets its queue attached later, by a
 * worker of the kernel; until then all that is sent is dropped. Kernels from 6.9 on attach it when they are asked for the link.
 * @returns names of those that are not running when the time is over
 * @throws {NetlinkError} when a link is gone
 */
export async function untilRunning(
  ends: readonly LinkEnd[],
  timeoutMs: number,
): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const waiting = ends.filter((end) => !isRunning(end));
    if (waiting.length === 0 || performance.now() >= deadline) {
      return waiting.map(({ link }) => link);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function isRunning({ socket, link }: LinkEnd): boolean {
  return (socket.linkGet(link).flags & LinkFlag.RUNNING) !== 0;
}
