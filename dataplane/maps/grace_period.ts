/** Waiting until no CPU runs a program that started before. */

import { BpfMap, MapType } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { membarrierGlobal } from "../../shared/ffi/sys.ts";

/**
 * An RCU grace period: what a packet had read from the maps before the call is used by nobody after it.
 *
 * @throws SysError
 */
export async function gracePeriod(): Promise<void> {
  try {
    await membarrierGlobal();
  } catch (error) {
    // Kernels with nohz_full CPUs have no global membarrier.
    if (!isErrno(error, "EINVAL")) throw error;
    waitByMapInMap();
  }
}

/** The same where that is not there: an update of a map of maps returns after it. This thread waits. @throws SysError */
export function waitByMapInMap(): void {
  const shape = { name: "grace", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 };
  using inner = BpfMap.create(shape);
  using outer = BpfMap.create({ ...shape, type: MapType.ARRAY_OF_MAPS, innerMapFd: inner.fd });
  outer.update(new Uint8Array(4), new Uint8Array(new Uint32Array([inner.fd]).buffer));
}
