/** Who is at the other end of a unix socket. */
import { check } from "./errno.ts";
import { shim } from "./library.ts";
import { cString } from "./memory.ts";

/**
 * Shuts down every connection that this process accepted on a unix socket and whose peer
 * (SO_PEERCRED, taken by the kernel when it connected) is of another user.
 * @param socketPath the path exactly as the listener was bound
 * @param allowedUid the user whose connections stay
 * @returns how many were shut down
 * @throws SysError when /proc is not there
 */
export function dropForeignPeers(socketPath: string, allowedUid: number): number {
  return check(
    `peers of ${socketPath}`,
    shim().nv_drop_foreign_peers(cString(socketPath), allowedUid),
  );
}
