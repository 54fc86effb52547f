/** The elements of one map on their way from an older layout. */

import { ConversionError, type Converter, converter } from "../../shared/btf/convert.ts";
import { BPF_ANY, BPF_NOEXIST, type BpfMap, MapType, possibleCpus } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { viewOf } from "../maps/bytes.ts";
import { layoutText, type MapLayout } from "./map_layout.ts";
import type { Role } from "./roles.ts";

/** The contents of a map cannot be taken over. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";

  /** @param path The pinned map. @param why Completes "cannot take over PATH: ...". */
  constructor(readonly path: string, readonly why: string, options?: ErrorOptions) {
    super(
      `cannot take over ${path}: ${why}. It stays as it is, and pods keep their connections and ` +
        "policies under the programs that run; start the novanet-dataplane that made it again",
      options,
    );
  }
}

/** A map and what its elements are. */
export interface LaidOutMap {
  /** Where it is pinned. */
  readonly path: string;
  readonly map: BpfMap;
  readonly layout: MapLayout;
}

/** How many elements came over, and how many found no room. */
export interface TransferCount {
  readonly moved: number;
  readonly refused: number;
}

/** The elements of one map of an older layout, and the way that they take. */
export interface Transfer extends Disposable {
  /** Of the map. */
  readonly name: string;
  readonly role: Role;
  /** Copies all elements. @throws SysError */
  fill(flag: typeof BPF_ANY | typeof BPF_NOEXIST): TransferCount;
  /** Brings what the old programs did since `fill`, once none of them runs any more. @throws SysError */
  drain(): TransferCount;
}

/** Elements in the new layout. */
interface Elements {
  readonly keys: Uint8Array<ArrayBuffer>;
  readonly values: Uint8Array<ArrayBuffer>;
  readonly count: number;
}

/** Hashes take many elements at once, and none of the others does on Linux 6.1. */
const BATCHED: ReadonlySet<number> = new Set([MapType.HASH, MapType.LRU_HASH]);
const PER_CPU: ReadonlySet<number> = new Set([
  MapType.PERCPU_ARRAY,
  MapType.PERCPU_HASH,
  MapType.LRU_PERCPU_HASH,
]);
const ARRAYS: ReadonlySet<number> = new Set([MapType.ARRAY, MapType.PERCPU_ARRAY]);

/** From one map to another. Owns the old map's descriptor. */
export class MapTransfer implements Transfer {
  readonly name: string;
  readonly role: Role;
  readonly #from: LaidOutMap;
  readonly #to: LaidOutMap;
  readonly #key: Converter;
  readonly #value: Converter;

  /**
   * @throws MigrationError when a member has no place in the new layout
   */
  constructor(
    name: string,
    role: Role,
    from: LaidOutMap,
    to: LaidOutMap,
  ) {
    this.name = name;
    this.role = role;
    this.#from = from;
    this.#to = to;
    const { key: oldKey, value: oldValue, type: oldType } = from.layout;
    const { key, value, type } = to.layout;
    if (
      oldKey === undefined || oldValue === undefined || key === undefined || value === undefined
    ) {
      throw new MigrationError(from.path, "it has no type information (BTF)");
    }
    if (PER_CPU.has(oldType) !== PER_CPU.has(type)) {
      throw new MigrationError(from.path, `it is ${layoutText(from.layout)}`);
    }
    try {
      this.#key = converter(oldKey, key, { isKey: true });
      this.#value = converter(oldValue, value);
    } catch (error) {
      if (!(error instanceof ConversionError)) throw error;
      throw new MigrationError(from.path, error.message, { cause: error });
    }
  }

  /**
   * Copies all elements.
   *
   * @param flag BPF_ANY; BPF_NOEXIST: only those that the new map has not.
   * @throws SysError
   */
  fill(flag: typeof BPF_ANY | typeof BPF_NOEXIST): TransferCount {
    let moved = 0;
    let refused = 0;
    for (const elements of this.#elements()) {
      const room = flag === BPF_ANY && BATCHED.has(this.#to.layout.type)
        ? this.#writeBatch(elements)
        : this.#writeEach(elements, flag);
      moved += room;
      refused += elements.count - room;
    }
    return { moved, refused };
  }

  /**
   * Adds the elements that the old programs made since `fill`, once none of them runs any more, and empties the old
   * map: a process that dies in between leaves what has not been brought.
   *
   * @throws SysError
   */
  drain(): TransferCount {
    let moved = 0;
    let refused = 0;
    for (const elements of this.#elements()) {
      const room = this.#writeEach(elements, BPF_NOEXIST);
      moved += room;
      refused += elements.count - room;
      this.#from.map.deleteBatch(elements.oldKeys, elements.count);
    }
    return { moved, refused };
  }

  [Symbol.dispose](): void {
    this.#from.map.close();
  }

  #writeBatch({ keys, values, count }: Elements): number {
    this.#to.map.updateBatch(keys, values, count);
    return count;
  }

  #writeEach({ keys, values, count }: Elements, flag: number): number {
    const keySize = keys.length / count;
    const valueSize = values.length / count;
    const mayRefuse = this.role === "live";
    let room = 0;
    for (let i = 0; i < count; i++) {
      try {
        this.#to.map.update(
          keys.subarray(i * keySize, (i + 1) * keySize),
          values.subarray(i * valueSize, (i + 1) * valueSize),
          flag,
        );
        room++;
      } catch (error) {
        if (isErrno(error, "EEXIST")) room++;
        else if (!mayRefuse || !isErrno(error, "E2BIG")) throw error;
      }
    }
    return room;
  }

  *#elements(): Generator<Elements & { oldKeys: Uint8Array }> {
    const [old, target] = [this.#from.map, this.#to.map];
    const copies = PER_CPU.has(this.#to.layout.type) ? possibleCpus() : 1;
    const [oldKeySize, keySize] = [old.info().keySize, target.info().keySize];
    const [oldStride, stride] = [old.valueBytes / copies, target.valueBytes / copies];
    const skipsZeros = ARRAYS.has(this.#from.layout.type);
    for (const batch of old.batches()) {
      const [oldKeys, oldValues] = [viewOf(batch.keys), viewOf(batch.values)];
      const keys = new Uint8Array(batch.count * keySize);
      const values = new Uint8Array(batch.count * target.valueBytes);
      const [keyView, valueView] = [viewOf(keys), viewOf(values)];
      let count = 0;
      for (let i = 0; i < batch.count; i++) {
        // An array's elements are all there, and 0 in the new one already.
        if (skipsZeros && isZero(batch.values, i * old.valueBytes, old.valueBytes)) continue;
        this.#key(oldKeys, i * oldKeySize, keyView, count * keySize);
        for (let copy = 0; copy < copies; copy++) {
          const [at, to] = [i * old.valueBytes, count * target.valueBytes];
          this.#value(oldValues, at + copy * oldStride, valueView, to + copy * stride);
        }
        count++;
      }
      yield {
        keys: keys.subarray(0, count * keySize),
        values: values.subarray(0, count * target.valueBytes),
        count,
        oldKeys: batch.keys,
      };
    }
  }
}

function isZero(bytes: Uint8Array, from: number, count: number): boolean {
  for (let i = from; i < from + count; i++) if (bytes[i] !== 0) return false;
  return true;
}
