/**
 * The few kinds of protobuf fields that the plugin's messages have. protobuf-es would do, but decoding its
 * descriptors takes 17 ms at each start, half of what the whole process takes without them.
 */
interface ValueOfKind {
  readonly string: string;
  readonly int32: number;
  readonly uint32: number;
  readonly bool: boolean;
  readonly "string[]": readonly string[];
  readonly "map<string, string>": Readonly<Record<string, string>>;
}

type FieldSpec =
  | readonly [number: number, kind: keyof ValueOfKind]
  | readonly [number: number, kind: "message[]", spec: MessageSpec];

/** A message: name of each field (lowerCamelCase), its number and its kind. */
export interface MessageSpec {
  readonly [name: string]: FieldSpec;
}

/** The value of a message. */
export type MessageValue<S extends MessageSpec> = {
  readonly [K in keyof S]: S[K] extends readonly [number, "message[]", infer M extends MessageSpec]
    ? readonly MessageValue<M>[]
    : S[K] extends readonly [number, infer T extends keyof ValueOfKind] ? ValueOfKind[T]
    : never;
};

/** Bytes that are no message of the kind they should be. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const MAP_ENTRY = { key: [1, "string"], value: [2, "string"] } as const satisfies MessageSpec;

/** @returns the message in wire format; fields with their default value are left out, as proto3 does. */
export function encode<S extends MessageSpec>(
  spec: S,
  value: MessageValue<S>,
): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  for (const [name, field] of Object.entries(spec)) {
    encodeField(out, field, (value as Record<string, unknown>)[name]);
  }
  return Uint8Array.from(out);
}

/**
 * Decodes a message. Fields it does not know are skipped, missing ones have their default.
 *
 * @throws {ProtobufError}
 */
export function decode<S extends MessageSpec>(spec: S, bytes: Uint8Array): MessageValue<S> {
  const value: Record<string, unknown> = {};
  const fields = new Map<number, [string, FieldSpec]>();
  for (const [name, field] of Object.entries(spec)) {
    value[name] = defaultOf(field);
    fields.set(field[0], [name, field]);
  }
  const reader = new Reader(bytes);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const [name, field] = fields.get(tag >>> 3) ?? [];
    if (name === undefined || field === undefined) reader.skip(tag & 7);
    else value[name] = decodeField(reader, field, tag & 7, value[name]);
  }
  return value as MessageValue<S>;
}

function encodeField(out: number[], field: FieldSpec, value: unknown): void {
  const [number, kind] = field;
  switch (kind) {
    case "string":
      if (value !== "") pushBytes(out, number, utf8(value as string));
      return;
    case "int32":
    case "uint32":
    case "bool":
      if (Number(value) !== 0) {
        pushVarint(out, number << 3 | VARINT);
        pushVarint(out, Number(value));
      }
      return;
    case "string[]":
      for (const one of value as string[]) pushBytes(out, number, utf8(one));
      return;
    case "map<string, string>":
      for (const [key, one] of Object.entries(value as Record<string, string>)) {
        pushBytes(out, number, encode(MAP_ENTRY, { key, value: one }));
      }
      return;
    case "message[]":
      for (const one of value as MessageValue<MessageSpec>[]) {
        pushBytes(out, number, encode(field[2], one));
      }
  }
}

function decodeField(reader: Reader, field: FieldSpec, wireType: number, before: unknown): unknown {
  const kind = field[1];
  const scalar = kind === "int32" || kind === "uint32" || kind === "bool";
  if (wireType !== (scalar ? VARINT : BYTES)) {
    throw new ProtobufError(`field ${field[0]} has wire type ${wireType}, not that of ${kind}`);
  }
  switch (kind) {
    case "string":
      return reader.string();
    case "int32":
      return reader.varint() | 0;
    case "uint32":
      return reader.varint();
    case "bool":
      return reader.varint() !== 0;
    case "string[]":
      return [...before as string[], reader.string()];
    case "map<string, string>": {
      const entry = decode(MAP_ENTRY, reader.bytes());
      return { ...before as Record<string, string>, [entry.key]: entry.value };
    }
    case "message[]":
      return [...before as unknown[], decode(field[2], reader.bytes())];
  }
}

function defaultOf(field: FieldSpec): unknown {
  switch (field[1]) {
    case "string":
      return "";
    case "int32":
    case "uint32":
      return 0;
    case "bool":
      return false;
    case "map<string, string>":
      return {};
    case "string[]":
    case "message[]":
      return [];
  }
}

function pushBytes(out: number[], number: number, bytes: Uint8Array): void {
  pushVarint(out, number << 3 | BYTES);
  pushVarint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

/** A negative int32 takes ten bytes, as the format asks. */
function pushVarint(out: number[], value: number): void {
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The low 32 bits of a varint, unsigned; no field of ours has more. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new ProtobufError("a number is cut off");
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new ProtobufError("a number has more than 10 bytes");
  }

  bytes(): Uint8Array {
    const length = this.varint();
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new ProtobufError("a field is cut off");
    this.#at += length;
    return bytes;
  }

  string(): string {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(this.bytes());
    } catch (cause) {
      if (cause instanceof ProtobufError) throw cause;
      throw new ProtobufError("a string is not UTF-8", { cause });
    }
  }

  skip(wireType: number): void {
    if (wireType === VARINT) this.varint();
    else if (wireType === BYTES) this.bytes();
    else if (wireType === FIXED64 || wireType === FIXED32) {
      this.#advance(wireType === FIXED64 ? 8 : 4);
    } else throw new ProtobufError(`unknown wire type ${wireType}`);
  }

  #advance(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new ProtobufError("a field is cut off");
  }
}
