/** The one element of DATAPATH_STATE: what the programs read on every packet. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { type DatapathState, DatapathStateCodec } from "../../shared/gen/abi.ts";
import { u32Key } from "./bytes.ts";

const KEY = u32Key(0);

/** Typed access to DATAPATH_STATE. Keeps a copy of the element, which nobody else writes. */
export class DatapathStateMap {
  readonly #map: BpfMap;
  #value: DatapathState;

  /** @param map Stays the caller's. @throws SysError */
  constructor(map: BpfMap) {
    this.#map = map;
    const bytes = map.lookup(KEY) ?? new Uint8Array(DatapathStateCodec.size);
    this.#value = DatapathStateCodec.decode(bytes);
  }

  /** What the programs read now. */
  get value(): DatapathState {
    return this.#value;
  }

  /** Changes some members; the others are overwritten with themselves. @throws SysError */
  write(changes: Partial<DatapathState>): void {
    const value = { ...this.#value, ...changes };
    this.#map.update(KEY, DatapathStateCodec.encode(value));
    this.#value = value;
  }

  /** Has living connections judged again at their next packet. @throws SysError */
  judgeAgain(): void {
    this.write({ evaluationGeneration: next(this.#value.evaluationGeneration) });
  }

  /** Puts the staged policy set in force, and has living connections judged by it. @throws SysError */
  flip(): void {
    this.write({
      policyGeneration: this.nextPolicyGeneration,
      evaluationGeneration: next(this.#value.evaluationGeneration),
    });
  }

  /** The generation that `flip` makes the active one. */
  get nextPolicyGeneration(): number {
    return next(this.#value.policyGeneration);
  }
}

/** Generations are 32 bits wide and go round. */
function next(generation: number): number {
  return generation + 1 >>> 0;
}
