/** HANDOVER: the interface whose program moves from a clsact filter to TCX. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { u32Key, viewOf } from "./bytes.ts";

const KEY = u32Key(0);

/** Typed access to HANDOVER. */
export class HandoverMap {
  readonly #map: BpfMap;

  /** @param map Stays the caller's. */
  constructor(map: BpfMap) {
    this.#map = map;
  }

  /** The interface, 0 for none: one that a dataplane named that has died since. @throws SysError */
  get ifindex(): number {
    return viewOf(this.#map.lookup(KEY) ?? u32Key(0)).getUint32(0, true);
  }

  /** Names the interface; the programs of all others are as always. @throws SysError */
  begin(ifindex: number): void {
    this.#map.update(KEY, u32Key(ifindex));
  }

  /** No interface. @throws SysError */
  end(): void {
    this.#map.update(KEY, u32Key(0));
  }
}
