/** The one element of DATAPATH_STATE: what the programs read on every packet. */

import { type BpfMap, MappedArray } from "../../shared/ffi/bpf.ts";
import { type DatapathState, DatapathStateCodec } from "../../shared/gen/abi.ts";
import { u32Key, viewOf } from "./bytes.ts";

const KEY = u32Key(0);

/**
 * Typed access to DATAPATH_STATE. Keeps a copy of the element, which nobody else writes, and changes the
 * element in mapped memory, a 64-bit word at a time.
 */
export class DatapathStateMap implements Disposable {
  readonly #map: BpfMap;
  readonly #memory: MappedArray;
  #value: DatapathState;

  /** @param map Stays the caller's. @throws SysError */
  constructor(map: BpfMap) {
    this.#map = map;
    this.#memory = new MappedArray(map);
    this.#value = this.read();
  }

  /** What is in the kernel, where only this object should have written. @throws SysError */
  read(): DatapathState {
    return DatapathStateCodec.decode(
      this.#map.lookup(KEY) ?? new Uint8Array(DatapathStateCodec.size),
    );
  }

  /** What the programs read now. */
  get value(): DatapathState {
    return this.#value;
  }

  /** Changes some members: the generations, which share the first word, at once and last of all. */
  write(changes: Partial<DatapathState>): void {
    const value = { ...this.#value, ...changes };
    const view = viewOf(DatapathStateCodec.encode(value));
    for (let word = view.byteLength / 8 - 1; word >= 0; word--) {
      this.#memory.store(0, word, view.getBigUint64(word * 8, true));
    }
    this.#value = value;
  }

  /** Has living connections judged again at their next packet. */
  judgeAgain(): void {
    this.write({ evaluationGeneration: next(this.#value.evaluationGeneration) });
  }

  /** Puts the staged policy set in force, and has living connections judged by it. */
  flip(): void {
    this.write({
      policyGeneration: this.nextPolicyGeneration,
      evaluationGeneration: next(this.#value.evaluationGeneration),
    });
  }

  /** Unmaps the element. */
  [Symbol.dispose](): void {
    this.#memory.close();
  }

  /** The generation that `flip` makes the active one. */
  get nextPolicyGeneration(): number {
    return next(this.#value.policyGeneration);
  }
}

/** The index of a versioned value's version that is in force: the new one once its generation is reached. */
export function versionInForce({ policyGeneration }: DatapathState, generation: number): 0 | 1 {
  return (policyGeneration - generation | 0) >= 0 ? 1 : 0;
}

/** Generations are 32 bits wide and go round. */
function next(generation: number): number {
  return generation + 1 >>> 0;
}
