/** The POLICIES map: versioned decisions by key, changed in place under each element's lock. */

import { BPF_F_LOCK, type BpfMap } from "../../shared/ffi/bpf.ts";
import { PolicyValueLayout } from "../../shared/gen/abi.ts";
import { viewOf } from "./bytes.ts";
import { POLICY_KEY_BYTES } from "../policy/policy_table.ts";

/** One element as it stands in the map. */
export interface StoredPolicy {
  /** The four little-endian words of `struct policy_key`. */
  readonly words: readonly [number, number, number, number];
  /** The policy generation from which on index 1 is in force. */
  readonly generation: number;
  readonly actions: readonly [number, number];
  readonly ruleIds: readonly [number, number];
}

/** Decisions to write, two versions for each key. */
export interface PolicyVersions {
  readonly count: number;
  /** `count` keys as `struct policy_key`. */
  readonly keys: Uint8Array<ArrayBuffer>;
  /** Old and new action of each key. */
  readonly actions: ArrayLike<number>;
  /** Old and new rule id of each key. */
  readonly ruleIds: ArrayLike<number>;
}

const BATCH = 4096;

/** Typed access to POLICIES. */
export class PoliciesMap {
  readonly map: BpfMap;

  /** @param map Stays the caller's. */
  constructor(map: BpfMap) {
    this.map = map;
  }

  /** All elements. @throws SysError */
  *entries(): Generator<StoredPolicy> {
    for (const [key, value] of this.map.entries()) {
      const k = viewOf(key);
      const v = viewOf(value);
      const { generation, action, ruleId } = PolicyValueLayout;
      yield {
        words: [
          k.getUint32(0, true),
          k.getUint32(4, true),
          k.getUint32(8, true),
          k.getUint32(12, true),
        ],
        generation: v.getUint32(generation, true),
        actions: [v.getUint8(action), v.getUint8(action + 1)],
        ruleIds: [v.getUint32(ruleId, true), v.getUint32(ruleId + 4, true)],
      };
    }
  }

  /**
   * Writes both versions of each key, in place where the key exists.
   *
   * @param generation The one from which on the new versions are in force.
   * @throws SysError E2BIG when the map is full; some keys may be written then.
   */
  write(versions: PolicyVersions, generation: number): void {
    const { size } = PolicyValueLayout;
    for (let from = 0; from < versions.count; from += BATCH) {
      const count = Math.min(BATCH, versions.count - from);
      const values = encodeValues(versions, from, count, generation);
      const keys = versions.keys.subarray(
        from * POLICY_KEY_BYTES,
        (from + count) * POLICY_KEY_BYTES,
      );
      this.map.updateBatch(keys, values.subarray(0, count * size), count, BPF_F_LOCK);
    }
  }

  /** Removes keys; those that are not there are passed over. @throws SysError */
  delete(keys: Uint8Array<ArrayBuffer>): void {
    this.map.deleteBatch(keys, keys.length / POLICY_KEY_BYTES);
  }
}

function encodeValues(
  { actions, ruleIds }: PolicyVersions,
  from: number,
  count: number,
  generation: number,
): Uint8Array<ArrayBuffer> {
  const layout = PolicyValueLayout;
  const bytes = new Uint8Array(count * layout.size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const at = i * layout.size;
    const pair = (from + i) * 2;
    view.setUint32(at + layout.generation, generation, true);
    bytes[at + layout.action] = actions[pair] as number;
    bytes[at + layout.action + 1] = actions[pair + 1] as number;
    view.setUint32(at + layout.ruleId, ruleIds[pair] as number, true);
    view.setUint32(at + layout.ruleId + 4, ruleIds[pair + 1] as number, true);
  }
  return bytes;
}
