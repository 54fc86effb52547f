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

/** The three wildcard shapes of a set. */
export type WildcardShapes = readonly [PolicyShape, PolicyShape, PolicyShape];

/** Identity and direction (1 or 2) as one number, below 2^53. */
export function shapeKey(identity: number, direction: PolicyDirection): number {
  return identity * 4 + direction;
}

/** The two halves of a {@linkcode shapeKey}. */
export function splitShapeKey(key: number): { identity: number; direction: PolicyDirection } {
  return { identity: Math.floor(key / 4), direction: key % 4 };
}

/** Whether a key means a wildcard shape: entries with selected side 0, or of both directions. */
export function isWildcard(key: number): boolean {
  return key < 4;
}

/** A bit of one side's two masks: 17 prefix lengths with a protocol, and as many without. */
const BITS = 64;
const ANY_PROTOCOL_BITS = 32;

/**
 * The shapes of a set that changes, by counting the entries of each: a change costs what it changes.
 * Keys are {@linkcode shapeKey}s; those of {@linkcode isWildcard} stand for the wildcard shapes.
 */
export class ShapeCounts {
  /** Entries by `key * BITS + bit`. */
  readonly #counts = new Map<number, number>();
  readonly #shapes = new Map<number, PolicyShape>();

  /** The shapes of a whole set. */
  static of(table: PolicyTable): ShapeCounts {
    const counts = new ShapeCounts();
    for (const slot of table.slots()) {
      counts.add(
        table.word(slot, 0),
        table.word(slot, 1),
        table.word(slot, 2),
        table.word(slot, 3),
      );
    }
    return counts;
  }

  /** The sides that have a shape. */
  keys(): Iterable<number> {
    return this.#shapes.keys();
  }

  /** The shape of a side. */
  get(key: number): PolicyShape {
    return this.#shapes.get(key) ?? NO_SHAPE;
  }

  /** The wildcard shapes, by PolicyDirection. */
  get wildcard(): WildcardShapes {
    return [this.get(0), this.get(1), this.get(2)];
  }

  /** Counts an entry in, by the words of its key. @returns the side whose shape grew, else -1 */
  add(word0: number, word1: number, word2: number, word3: number): number {
    if (!isRule(word3)) return -1;
    const key = sideOf(word0, word1, word2);
    const at = key * BITS + bitOf(word2, word3);
    const count = this.#counts.get(at) ?? 0;
    this.#counts.set(at, count + 1);
    if (count > 0) return -1;
    const { exactProtocol, anyProtocol } = this.get(key);
    const one = shapeOf(word2, word3);
    this.#shapes.set(key, {
      exactProtocol: exactProtocol | one.exactProtocol,
      anyProtocol: anyProtocol | one.anyProtocol,
    });
    return key;
  }

  /** Counts an entry out. @returns the side whose shape shrank, else -1 */
  remove(word0: number, word1: number, word2: number, word3: number): number {
    if (!isRule(word3)) return -1;
    const key = sideOf(word0, word1, word2);
    const at = key * BITS + bitOf(word2, word3);
    const count = this.#counts.get(at) ?? 0;
    if (count > 1) {
      this.#counts.set(at, count - 1);
      return -1;
    }
    this.#counts.delete(at);
    const before = this.get(key);
    const one = shapeOf(word2, word3);
    const shape = {
      exactProtocol: before.exactProtocol & ~one.exactProtocol,
      anyProtocol: before.anyProtocol & ~one.anyProtocol,
    };
    if (sameShape(shape, NO_SHAPE)) this.#shapes.delete(key);
    else this.#shapes.set(key, shape);
    return key;
  }
}

/** Tells whether two shapes have the same bits. */
export function sameShape(a: PolicyShape, b: PolicyShape): boolean {
  return a.exactProtocol === b.exactProtocol && a.anyProtocol === b.anyProtocol;
}

function isRule(word3: number): boolean {
  return (word3 >>> 8 & 0xff) === PolicyKind.POLICY_KIND_RULE;
}

/** The wildcard for entries of both directions too: they are looked for with every selected side. */
function sideOf(word0: number, word1: number, word2: number): number {
  const direction = word2 >>> 8 & 0xff;
  if (direction === PolicyDirection.INGRESS) return shapeKey(word1, direction);
  if (direction === PolicyDirection.EGRESS) return shapeKey(word0, direction);
  return shapeKey(0, direction);
}

function bitOf(word2: number, word3: number): number {
  return ((word2 & 0xff) === 0 ? ANY_PROTOCOL_BITS : 0) + (word3 & 0xff);
}

function shapeOf(word2: number, word3: number): PolicyShape {
  const bit = 1 << (word3 & 0xff);
  return (word2 & 0xff) === 0
    ? { exactProtocol: 0, anyProtocol: bit }
    : { exactProtocol: bit, anyProtocol: 0 };
}
