import type { BpfMap } from "../../shared/ffi/bpf.ts";

/** How many entries a hash map holds now. @throws SysError */
export function countEntries(map: BpfMap): number {
  let total = 0;
  for (const { count } of map.batches()) total += count;
  return total;
}
