/** The BPF Type Format (Documentation/bpf/btf.rst of Linux): the C types of an object or of a map. */
import { elfSection, ObjectFormatError, textAt } from "./elf.ts";

/** A member of a struct or union, or a variable of a section. */
export interface BtfMember {
  readonly name: string;
  readonly typeId: number;
  readonly offsetBits: number;
  /** 0 when it is no bit field. */
  readonly bitFieldBits: number;
}

/** A struct, a union or a section with its variables. */
export interface BtfComposite<Kind extends string = "struct" | "union" | "section"> {
  readonly kind: Kind;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly members: readonly BtfMember[];
}

/** An enumeration. */
export interface BtfEnum {
  readonly kind: "enum";
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly values: readonly (readonly [name: string, value: bigint])[];
}

/** One type. */
export type BtfType =
  | BtfComposite<"struct">
  | BtfComposite<"union">
  | BtfComposite<"section">
  | BtfEnum
  | { readonly kind: "int"; readonly name: string; readonly size: number; readonly signed: boolean }
  | {
    readonly kind: "array";
    readonly name: string;
    readonly typeId: number;
    readonly count: number;
  }
  | {
    /** Another name or a qualifier of a type, a pointer to it, or a variable of it. */
    readonly kind: "alias" | "pointer" | "variable";
    readonly name: string;
    readonly typeId: number;
  }
  | { readonly kind: "other"; readonly name: string };

const MAGIC = 0xeb9f;
const SIGNED = 1;

/** All types of an object, by type id; 0 is void. */
export class Btf {
  readonly types: readonly BtfType[];

  /** @param bytes as a .BTF section and the kernel have them @throws ObjectFormatError */
  constructor(bytes: Uint8Array) {
    this.types = new Parser(bytes).types();
  }

  /** The types of an object file. @throws ObjectFormatError */
  static ofObject(elf: Uint8Array): Btf {
    return new Btf(elfSection(elf, ".BTF"));
  }

  /** @throws ObjectFormatError when there is no type of this id */
  type(id: number): BtfType {
    const type = this.types[id];
    if (type) return type;
    throw new ObjectFormatError(`BTF has no type ${id}`);
  }

  /** The type behind typedefs and qualifiers. */
  resolve(id: number): BtfType {
    const type = this.type(id);
    return type.kind === "alias" ? this.resolve(type.typeId) : type;
  }

  /** The variables of a data section, an empty list when there is none. */
  section(name: string): readonly BtfMember[] {
    const found = this.types.find((type) => type.kind === "section" && type.name === name);
    return found?.kind === "section" ? found.members : [];
  }
}

class Parser {
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(section: Uint8Array) {
    this.#view = new DataView(section.buffer, section.byteOffset, section.byteLength);
    if (section.byteLength < 24 || this.#view.getUint16(0, true) !== MAGIC) {
      throw new ObjectFormatError("not little-endian BTF");
    }
    const header = this.#u32(4);
    this.#at = header + this.#u32(8);
    this.#end = this.#at + this.#u32(12);
    const strings = header + this.#u32(16);
    this.#strings = section.subarray(strings, strings + this.#u32(20));
  }

  types(): BtfType[] {
    const types: BtfType[] = [{ kind: "other", name: "void" }];
    while (this.#at < this.#end) types.push(this.#next());
    return types;
  }

  #u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  #take(): number {
    this.#at += 4;
    return this.#u32(this.#at - 4);
  }

  #name(): string {
    return textAt(this.#strings, this.#take());
  }

  #next(): BtfType {
    const name = this.#name();
    const info = this.#take();
    const size = this.#take();
    const count = info & 0xffff;
    const bitFields = info >>> 31 === 1;
    const times = <T>(make: () => T): T[] => Array.from({ length: count }, make);
    switch ((info >>> 24) & 0x1f) {
      case 1: // INT
        return { kind: "int", name, size, signed: ((this.#take() >>> 24) & SIGNED) !== 0 };
      case 2: // PTR
        return { kind: "pointer", name, typeId: size };
      case 3: { // ARRAY
        const typeId = this.#take();
        this.#take();
        return { kind: "array", name, typeId, count: this.#take() };
      }
      case 4: // STRUCT
        return { kind: "struct", name, size, members: times(() => this.#member(bitFields)) };
      case 5: // UNION
        return { kind: "union", name, size, members: times(() => this.#member(bitFields)) };
      case 6: { // ENUM
        // The flag for signed values is younger than some compilers; they were always signed.
        const value = () => BigInt(this.#take() | 0);
        return { kind: "enum", name, size, values: times(() => [this.#name(), value()] as const) };
      }
      case 19: { // ENUM64
        const value = () => BigInt(this.#take()) | BigInt(this.#take()) << 32n;
        return { kind: "enum", name, size, values: times(() => [this.#name(), value()] as const) };
      }
      case 8: // TYPEDEF
      case 9: // VOLATILE
      case 10: // CONST
      case 11: // RESTRICT
      case 18: // TYPE_TAG
        return { kind: "alias", name, typeId: size };
      case 13: // FUNC_PROTO
        times(() => [this.#take(), this.#take()]);
        return { kind: "other", name };
      case 14: // VAR
        this.#take();
        return { kind: "variable", name, typeId: size };
      case 15: // DATASEC
        return { kind: "section", name, size, members: times(() => this.#variable()) };
      case 17: // DECL_TAG
        this.#take();
        return { kind: "other", name };
      default: // FWD, FUNC, FLOAT: nothing follows
        return { kind: "other", name };
    }
  }

  #member(bitFields: boolean): BtfMember {
    const name = this.#name();
    const typeId = this.#take();
    const offset = this.#take();
    return bitFields
      ? { name, typeId, offsetBits: offset & 0xffffff, bitFieldBits: offset >>> 24 }
      : { name, typeId, offsetBits: offset, bitFieldBits: 0 };
  }

  #variable(): BtfMember {
    const typeId = this.#take();
    const offsetBits = this.#take() * 8;
    this.#take();
    return { name: "", typeId, offsetBits, bitFieldBits: 0 };
  }
}
