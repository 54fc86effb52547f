/** What is on an interface's hooks; what is gone is no error. */

import { type Direction, queryClsact, TcxLink } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";

/** The link that is pinned at a path, the caller's to close; undefined when there is none. @throws SysError */
export function openLink(path: string): TcxLink | undefined {
  try {
    return TcxLink.openPinned(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * The id of the program of our filter on a clsact hook.
 *
 * @returns undefined without a filter, or when the interface went away meanwhile
 * @throws SysError
 */
export function queryFilter(ifindex: number, direction: Direction): number | undefined {
  try {
    return queryClsact(ifindex, direction);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}
