/** What a value in a map consists of, as far as it matters for copying it. Pure. */

import type { Btf, BtfMember } from "./btf.ts";
import { ObjectFormatError } from "./elf.ts";

/** A member of a struct that is neither padding nor a lock. */
export interface ShapeMember {
  readonly name: string;
  /** Bytes from the struct's begin. */
  readonly offset: number;
  readonly shape: Shape;
}

/** A number, a list or a struct; sizes in bytes. */
export type Shape =
  | { readonly kind: "number"; readonly size: 1 | 2 | 4 | 8; readonly signed: boolean }
  | {
    readonly kind: "list";
    readonly size: number;
    readonly element: Shape;
    readonly count: number;
  }
  | { readonly kind: "struct"; readonly size: number; readonly members: readonly ShapeMember[] };

/** Padding has no other meaning than to be there. */
export function isPadding(member: string): boolean {
  return /^pad(_|\d*$)/.test(member);
}

/** @throws ObjectFormatError when the type has something that no map of ours has: unions, pointers, bit fields */
export function shapeOf(btf: Btf, typeId: number): Shape {
  const type = btf.resolve(typeId);
  switch (type.kind) {
    case "int":
      return { kind: "number", size: numberSize(type.size), signed: type.signed };
    case "enum":
      return { kind: "number", size: numberSize(type.size), signed: false };
    case "array": {
      const element = shapeOf(btf, type.typeId);
      return { kind: "list", size: element.size * type.count, element, count: type.count };
    }
    case "struct": {
      const members = type.members.filter(({ name, typeId }) =>
        !isPadding(name) && !isLock(btf, typeId)
      ).map((member) => memberOf(btf, type.name, member));
      return { kind: "struct", size: type.size, members };
    }
    default:
      throw new ObjectFormatError(`type ${typeId} (${type.kind} ${type.name}) has no shape`);
  }
}

/** The same text for the same shape, and no other: `{12 a@0:u32 b@4:i16[4]}`. */
export function shapeText(shape: Shape): string {
  switch (shape.kind) {
    case "number":
      return `${shape.signed ? "i" : "u"}${shape.size * 8}`;
    case "list":
      return `${shapeText(shape.element)}[${shape.count}]`;
    case "struct": {
      const members = shape.members.map(({ name, offset, shape }) =>
        `${name}@${offset}:${shapeText(shape)}`
      );
      return `{${[shape.size, ...members].join(" ")}}`;
    }
  }
}

function memberOf(btf: Btf, struct: string, member: BtfMember): ShapeMember {
  const { name, typeId, offsetBits, bitFieldBits } = member;
  if (bitFieldBits !== 0) throw new ObjectFormatError(`${struct}.${name} is a bit field`);
  return { name, offset: offsetBits / 8, shape: shapeOf(btf, typeId) };
}

function isLock(btf: Btf, typeId: number): boolean {
  const type = btf.resolve(typeId);
  return type.kind === "struct" && type.name === "bpf_spin_lock";
}

function numberSize(size: number): 1 | 2 | 4 | 8 {
  if (size === 1 || size === 2 || size === 4 || size === 8) return size;
  throw new ObjectFormatError(`numbers of ${size} bytes have no shape`);
}
