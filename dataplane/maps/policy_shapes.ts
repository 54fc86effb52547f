/** The POLICY_SHAPES map: which key shapes the entries of one selected identity have. */

import { BPF_ANY, BPF_F_LOCK, type BpfMap } from "../../shared/ffi/bpf.ts";
import {
  type PolicyShape,
  PolicyShapeKeyCodec,
  PolicyShapeValueCodec,
} from "../../shared/gen/abi.ts";
import { shapeKey, splitShapeKey } from "../policy/policy_shapes.ts";

/** Typed access to POLICY_SHAPES. */
export class PolicyShapesMap {
  readonly map: BpfMap;

  /** @param map Stays the caller's. */
  constructor(map: BpfMap) {
    this.map = map;
  }

  /** All elements by `shapeKey`. @throws SysError */
  read(): Map<number, PolicyShape> {
    const shapes = new Map<number, PolicyShape>();
    for (const [key, value] of this.map.entries()) {
      const { identity, direction } = PolicyShapeKeyCodec.decode(key);
      shapes.set(shapeKey(identity, direction), PolicyShapeValueCodec.decode(value).shape);
    }
    return shapes;
  }

  /** Sets one element, in place where it exists. @throws SysError E2BIG when the map is full */
  set(key: number, shape: PolicyShape): void {
    this.map.update(encodeKey(key), PolicyShapeValueCodec.encode({ shape }), BPF_ANY | BPF_F_LOCK);
  }

  /** Removes one element, if it is there. @throws SysError */
  delete(key: number): void {
    this.map.delete(encodeKey(key));
  }
}

function encodeKey(key: number): Uint8Array<ArrayBuffer> {
  return PolicyShapeKeyCodec.encode(splitShapeKey(key));
}
