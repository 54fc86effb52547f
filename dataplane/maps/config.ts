/** The CONFIG map: configuration as UpdateConfig gave it. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { CONFIG_KEYS, type ConfigValues } from "../config/config_keys.ts";
import { u32Key, viewOf } from "./bytes.ts";

/** Bits of the keys that were set: an array has a value, 0, for the others too. One word for 64 keys. */
const SET_KEYS = [96, 97] as const;

/** Typed access to CONFIG. */
export class ConfigMap {
  readonly #map: BpfMap;
  readonly #values: Map<number, bigint>;

  /** @param map Stays the caller's. @throws SysError */
  constructor(map: BpfMap) {
    this.#map = map;
    this.#values = this.read();
  }

  /** The keys that are set in the map now, with their values. @throws SysError */
  read(): Map<number, bigint> {
    const words = SET_KEYS.map((key) => this.#read(key));
    const isSet = (key: number) =>
      ((words[Math.floor(key / 64)] ?? 0n) >> BigInt(key % 64) & 1n) === 1n;
    return new Map(CONFIG_KEYS.filter(isSet).map((key) => [key, this.#read(key)]));
  }

  /** The keys that were set, with their values. */
  get values(): ConfigValues {
    return this.#values;
  }

  /** Writes checked entries. @throws SysError */
  set(entries: Iterable<readonly [key: number, value: bigint]>): void {
    for (const [key, value] of entries) {
      this.#write(key, value);
      this.#values.set(key, value);
    }
    for (const [index, wordKey] of SET_KEYS.entries()) {
      const keys = [...this.#values.keys()].filter((key) => Math.floor(key / 64) === index);
      this.#write(wordKey, keys.reduce((word, key) => word | 1n << BigInt(key % 64), 0n));
    }
  }

  #read(key: number): bigint {
    const value = this.#map.lookup(u32Key(key));
    return value === undefined ? 0n : viewOf(value).getBigUint64(0, true);
  }

  #write(key: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    viewOf(bytes).setBigUint64(0, value, true);
    this.#map.update(u32Key(key), bytes);
  }
}
