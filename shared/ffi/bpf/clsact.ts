/**
 * tc filters on the clsact qdisc, for kernels before TCX. The filter stays until it is detached. Other
 * people's filters and their qdisc are left alone.
 */
import { isErrno } from "../errno.ts";
import { shim } from "../library.ts";
import type { Direction } from "./link.ts";
import { checkLibbpf } from "./message.ts";
import type { BpfProgram } from "./program.ts";

// "Nova": our filter among those of one priority. The first priority, because a filter that runs
// earlier can end the chain and so go around the policy.
const HANDLE = 0x4e6f7661;
const PRIORITY = 1;

const egress = (direction: Direction): number => direction === "egress" ? 1 : 0;
const named = (op: string, ifindex: number, direction: Direction): string =>
  `clsact ${direction} ${op} on interface ${ifindex}`;

/**
 * Attaches a program, or swaps the one that is there for it: no packet passes in between.
 * @returns whether the qdisc had to be made (then detachClsact() may take it away again)
 * @throws SysError
 */
export function attachClsact(
  program: BpfProgram,
  ifindex: number,
  direction: Direction,
): { createdQdisc: boolean } {
  const created = checkLibbpf(`clsact on interface ${ifindex}`, shim().nv_clsact_create(ifindex));
  const createdQdisc = created === 1;
  try {
    checkLibbpf(
      named("filter", ifindex, direction),
      shim().nv_clsact_attach(ifindex, egress(direction), program.fd, HANDLE, PRIORITY),
    );
  } catch (error) {
    if (createdQdisc) removeUnusedQdisc(ifindex);
    throw error;
  }
  return { createdQdisc };
}

/**
 * Takes our filter off.
 * @param removeQdisc also take the qdisc away when no filter is left on it in either direction. The kernel stops the
 *   interface for that, and what is sent through it meanwhile is lost.
 * @returns whether our filter was there
 * @throws SysError
 */
export function detachClsact(
  ifindex: number,
  direction: Direction,
  { removeQdisc = false }: { removeQdisc?: boolean } = {},
): boolean {
  if (queryClsact(ifindex, direction) === undefined) return false;
  checkLibbpf(
    named("detach", ifindex, direction),
    shim().nv_clsact_detach(ifindex, egress(direction), HANDLE, PRIORITY),
  );
  if (removeQdisc) removeUnusedQdisc(ifindex);
  return true;
}

/** The id of our filter's program, undefined when it is not there. @throws SysError */
export function queryClsact(ifindex: number, direction: Direction): number | undefined {
  try {
    return checkLibbpf(
      named("query", ifindex, direction),
      shim().nv_clsact_query(ifindex, egress(direction), HANDLE, PRIORITY),
    );
  } catch (error) {
    // EINVAL: there is no qdisc.
    if (isErrno(error, "ENOENT") || isErrno(error, "EINVAL")) return undefined;
    throw error;
  }
}

/** How many filters, whoever's, there are in one direction. @throws SysError */
export function countClsactFilters(ifindex: number, direction: Direction): number {
  return checkLibbpf(
    named("count", ifindex, direction),
    shim().nv_clsact_count(ifindex, egress(direction)),
  );
}

function removeUnusedQdisc(ifindex: number): void {
  if (countClsactFilters(ifindex, "ingress") + countClsactFilters(ifindex, "egress") > 0) return;
  checkLibbpf(`removal of clsact on ${ifindex}`, shim().nv_clsact_destroy(ifindex));
}
