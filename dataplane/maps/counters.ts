/** Per-CPU counters: drops by reason and the datapath's statistics. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { u32Key, viewOf } from "./bytes.ts";

/** An array of 64-bit counters, one for each CPU. */
export class Counters {
  readonly #map: BpfMap;

  /** @param map A PERCPU_ARRAY of u64; stays the caller's. */
  constructor(map: BpfMap) {
    this.#map = map;
  }

  /** The sum over all CPUs. @throws SysError */
  read(index: number): bigint {
    const values = this.#map.lookup(u32Key(index));
    return values === undefined ? 0n : sum(values);
  }

  /** All counters that are not 0, by index. @throws SysError */
  readAll(): Map<number, bigint> {
    const counts = new Map<number, bigint>();
    for (const [key, values] of this.#map.entries()) {
      const count = sum(values);
      if (count !== 0n) counts.set(viewOf(key).getUint32(0, true), count);
    }
    return counts;
  }
}

function sum(values: Uint8Array): bigint {
  const view = viewOf(values);
  let total = 0n;
  for (let at = 0; at < values.byteLength; at += 8) total += view.getBigUint64(at, true);
  return total;
}
