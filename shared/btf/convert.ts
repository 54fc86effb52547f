/** From one shape of a value to another, member by member. Pure. */

import type { Shape } from "./shape.ts";

/** A value cannot be taken over as it is. */
export class ConversionError extends Error {
  override readonly name = "ConversionError";

  /** @param member Its name, with those of the structs around it. */
  constructor(readonly member: string, readonly why: string) {
    super(`${member === "" ? "the value" : member} ${why}`);
  }
}

/** Writes one value; what the new shape has beside the old one stays as it is in `to`. */
export type Converter = (from: DataView, fromAt: number, to: DataView, toAt: number) => void;

/** Options of {@linkcode converter}. */
export interface ConversionOptions {
  /** Members at the top that are not written. */
  readonly omit?: ReadonlySet<string>;
  /** The value is a key: none of its members may get lost. */
  readonly isKey?: boolean;
}

/**
 * Members are found by their names. Numbers may grow, lists may get longer, and members may come, go and move.
 *
 * @throws ConversionError when a number would shrink or a member becomes something else
 */
export function converter(
  from: Shape,
  to: Shape,
  { omit, isKey = false }: ConversionOptions = {},
): Converter {
  return convert(from, to, "", { omit: omit ?? new Set(), isKey });
}

function convert(
  from: Shape,
  to: Shape,
  member: string,
  options: Required<ConversionOptions>,
): Converter {
  if (from.kind === "number" && to.kind === "number") return convertNumber(from, to, member);
  if (from.kind === "list" && to.kind === "list") {
    if (to.count < from.count) {
      throw new ConversionError(member, `has ${from.count} elements, of which ${to.count} fit`);
    }
    const { count } = from;
    const [fromSize, toSize] = [from.element.size, to.element.size];
    const element = convert(from.element, to.element, `${member}[]`, options);
    return (source, at, target, targetAt) => {
      for (let i = 0; i < count; i++) {
        element(source, at + i * fromSize, target, targetAt + i * toSize);
      }
    };
  }
  if (from.kind === "struct" && to.kind === "struct") {
    return convertStruct(from, to, member, options);
  }
  throw new ConversionError(member, `is a ${from.kind} and becomes a ${to.kind}`);
}

type OfKind<K extends Shape["kind"]> = Extract<Shape, { kind: K }>;

function convertStruct(
  from: OfKind<"struct">,
  to: OfKind<"struct">,
  member: string,
  options: Required<ConversionOptions>,
): Converter {
  const pathOf = (name: string) => member === "" ? name : `${member}.${name}`;
  if (options.isKey) {
    const lost = from.members.find(({ name }) => !to.members.some((other) => other.name === name));
    if (lost !== undefined) {
      throw new ConversionError(pathOf(lost.name), "is missing in the new key");
    }
  }
  const steps = to.members.flatMap(({ name, offset, shape }) => {
    const old = from.members.find((other) => other.name === name);
    if (old === undefined || (member === "" && options.omit.has(name))) return [];
    const step = convert(old.shape, shape, pathOf(name), options);
    return [{ from: old.offset, to: offset, step }];
  });
  return (source, at, target, targetAt) => {
    for (const { from, to, step } of steps) step(source, at + from, target, targetAt + to);
  };
}

function convertNumber(
  from: OfKind<"number">,
  to: OfKind<"number">,
  member: string,
): Converter {
  const grows = to.size > from.size;
  // A signed number has room for an unsigned one of its size only when it is larger.
  if (to.size < from.size || (from.signed !== to.signed && (from.signed || !grows))) {
    throw new ConversionError(member, `is ${textOf(from)} and does not fit into ${textOf(to)}`);
  }
  const signed = from.signed;
  if (to.size === 8) return bigConverter(from.size, signed);
  const read = READERS[from.size as 1 | 2 | 4];
  const write = WRITERS[to.size];
  const shift = 32 - from.size * 8;
  return (source, at, target, targetAt) => {
    const bits = read(source, at);
    write(target, targetAt, signed ? bits << shift >> shift : bits);
  };
}

function bigConverter(size: 1 | 2 | 4 | 8, signed: boolean): Converter {
  return (source, at, target, targetAt) => {
    const bits = size === 8 ? source.getBigUint64(at, true) : BigInt(READERS[size](source, at));
    target.setBigUint64(targetAt, signed ? BigInt.asIntN(size * 8, bits) : bits, true);
  };
}

const READERS: Readonly<Record<1 | 2 | 4, (view: DataView, at: number) => number>> = {
  1: (view, at) => view.getUint8(at),
  2: (view, at) => view.getUint16(at, true),
  4: (view, at) => view.getUint32(at, true),
};

const WRITERS: Readonly<Record<1 | 2 | 4, (view: DataView, at: number, value: number) => void>> = {
  1: (view, at, value) => view.setUint8(at, value),
  2: (view, at, value) => view.setUint16(at, value, true),
  4: (view, at, value) => view.setUint32(at, value, true),
};

function textOf({ signed, size }: OfKind<"number">): string {
  return `${signed ? "i" : "u"}${size * 8}`;
}
