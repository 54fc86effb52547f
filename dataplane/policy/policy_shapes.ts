/**
 * Which port prefix lengths a policy set uses, by selected side: the datapath tries no other.
 *
 * Bit n stands for prefix length n. A mask may hold bits that no entry has (the lookup then misses),
 * never lack one that an entry has.
 *
 * Pure.
 *
 * @module
 */

import { PolicyKind, type PolicyShape } from "../../shared/gen/abi.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { PolicyTable } from "./policy_table.ts";

/** The shape that no entry has. */
export const NO_SHAPE: PolicyShape = { exactProtocol: 0, anyProtocol: 0 };

/** All shapes of a policy set. */
export interface PolicyShapes {
  /** By {@linkcode shapeKey}, of entries with one direction and a selected identity. */
  readonly selected: Map<number, PolicyShape>;
  /** By PolicyDirection: of entries with selected side 0; [0]: of entries of both directions. */
  readonly wildcard: readonly [PolicyShape, PolicyShape, PolicyShape];
}

/** Identity and direction (1 or 2) as one number, below 2^53. */
export function shapeKey(identity: number, direction: PolicyDirection): number {
  return identity * 4 + direction;
}

/** The two halves of a {@linkcode shapeKey}. */
export function splitShapeKey(key: number): { identity: number; direction: PolicyDirection } {
  return { identity: Math.floor(key / 4), direction: key % 4 };
}

/** The exact shapes of a set. */
export function shapesOf(table: PolicyTable): PolicyShapes {
  const selected = new Map<number, PolicyShape>();
  const wildcard: [PolicyShape, PolicyShape, PolicyShape] = [NO_SHAPE, NO_SHAPE, NO_SHAPE];
  for (const slot of table.slots()) {
    const word2 = table.word(slot, 2);
    const word3 = table.word(slot, 3);
    if ((word3 >>> 8 & 0xff) !== PolicyKind.POLICY_KIND_RULE) continue;
    const direction = word2 >>> 8 & 0xff;
    const bit = 1 << (word3 & 0xff);
    const shape = (word2 & 0xff) === 0
      ? { exactProtocol: 0, anyProtocol: bit }
      : { exactProtocol: bit, anyProtocol: 0 };
    const identity = selectedIdentity(table, slot, direction);
    if (identity === 0) {
      const at = direction as 0 | 1 | 2;
      wildcard[at] = mergeShapes(wildcard[at], shape);
    } else {
      const key = shapeKey(identity, direction);
      selected.set(key, mergeShapes(selected.get(key) ?? NO_SHAPE, shape));
    }
  }
  return { selected, wildcard };
}

/** The union of two shapes. */
export function mergeShapes(a: PolicyShape, b: PolicyShape): PolicyShape {
  return {
    exactProtocol: a.exactProtocol | b.exactProtocol,
    anyProtocol: a.anyProtocol | b.anyProtocol,
  };
}

/** Tells whether two shapes have the same bits. */
export function sameShape(a: PolicyShape, b: PolicyShape): boolean {
  return a.exactProtocol === b.exactProtocol && a.anyProtocol === b.anyProtocol;
}

/** 0 for entries of both directions too: their shapes are looked for with every selected side. */
function selectedIdentity(table: PolicyTable, slot: number, direction: number): number {
  if (direction === PolicyDirection.INGRESS) return table.word(slot, 1);
  if (direction === PolicyDirection.EGRESS) return table.word(slot, 0);
  return 0;
}
