/** One member of a struct as TypeScript: its type, how it is written and read. */
import type { Btf, BtfMember } from "../../shared/btf/btf.ts";
import { ObjectFormatError } from "../../shared/btf/elf.ts";
import { isPadding } from "../../shared/btf/shape.ts";

/** A member that TypeScript sees. */
export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly type: string;
  /** A statement that writes value.NAME. */
  readonly encode: string;
  /** An expression that reads it. */
  readonly decode: string;
}

/** snake_case to camelCase. */
export function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** snake_case to PascalCase. */
export function pascal(name: string): string {
  return camel(`_${name}`);
}

/**
 * A member's field; undefined for padding and spin locks.
 * @throws ObjectFormatError when it has no TypeScript form
 */
export function fieldOf(btf: Btf, struct: string, member: BtfMember): Field | undefined {
  if (isPadding(member.name)) return undefined;
  const unsupported = () =>
    new ObjectFormatError(`${struct}.${member.name}: no codec for its type`);
  if (member.bitFieldBits !== 0) throw unsupported();
  const offset = member.offsetBits / 8;
  const name = camel(member.name);
  const value = `value.${name}`;
  const type = btf.resolve(member.typeId);
  if (type.kind === "struct" && type.name === "bpf_spin_lock") return undefined;

  if (type.kind !== "array") {
    const element = elementOf(btf, member.typeId, unsupported);
    return {
      name,
      offset,
      type: element.type,
      encode: `${element.write(value, `${offset}`)};`,
      decode: element.read(`${offset}`),
    };
  }
  const element = elementOf(btf, type.typeId, unsupported);
  const { count } = type;
  if (element.size === 1) {
    return {
      name,
      offset,
      type: "Uint8Array",
      encode: `writeBytes("${struct}.${name}", view, at + ${offset}, ${value}, ${count});`,
      decode: `readBytes(view, at + ${offset}, ${count})`,
    };
  }
  const at = `${offset} + ${element.size} * i`;
  return {
    name,
    offset,
    type: `readonly ${element.type}[]`,
    encode: `eachOf("${struct}.${name}", ${value}, ${count}, (item, i) => ${
      element.write("item", at)
    });`,
    decode: `listOf(${count}, (i) => ${element.read(at)})`,
  };
}

interface Element {
  readonly type: string;
  readonly size: number;
  write(value: string, at: string): string;
  read(at: string): string;
}

function elementOf(btf: Btf, typeId: number, unsupported: () => Error): Element {
  const type = btf.resolve(typeId);
  if (type.kind === "struct" && type.name) {
    const codec = `${pascal(type.name)}Codec`;
    return {
      type: pascal(type.name),
      size: type.size,
      write: (value, at) => `${codec}.write(view, ${value}, at + ${at})`,
      read: (at) => `${codec}.read(view, at + ${at})`,
    };
  }
  if (type.kind !== "int" && type.kind !== "enum") throw unsupported();
  const { size } = type;
  const signed = type.kind === "int" ? type.signed : type.values.some(([, value]) => value < 0n);
  const sign = signed ? "Int" : "Uint";
  const method = `${size === 8 ? "Big" : ""}${sign}${size * 8}`;
  const order = size === 1 ? "" : ", true";
  return {
    type: size === 8 ? "bigint" : "number",
    size,
    write: (value, at) => `view.set${method}(at + ${at}, ${value}${order})`,
    read: (at) => `view.get${method}(at + ${at}${order})`,
  };
}
