import type { DescEnum, DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { JsonValue } from "./json.ts";

/** An object of JSON. */
export type JsonRecord = { [key: string]: JsonValue };

/**
 * A message as JSON with all of its fields, under the names of the proto (snake_case). Enums are names without
 * their prefix, bytes are hex, 64-bit numbers are numbers.
 */
export function messageJson<D extends DescMessage>(desc: D, message: MessageShape<D>): JsonRecord {
  const record = message as unknown as Record<string, unknown>;
  return Object.fromEntries(
    desc.fields.map((field) => [field.name, fieldJson(field, record[field.localName])]),
  );
}

function fieldJson(field: DescField, value: unknown): JsonValue {
  switch (field.fieldKind) {
    case "list":
      return (value as unknown[]).map((one) => singleJson(field, one));
    case "map":
      return Object.fromEntries(
        Object.entries(value as Record<string, unknown>)
          .map(([key, one]) => [key, singleJson(field, one)]),
      );
    default:
      return singleJson(field, value);
  }
}

/** One value of a field, of an element of its list, or of its map. */
function singleJson(field: DescField, value: unknown): JsonValue {
  if (value === undefined) return null;
  if (field.message !== undefined) return messageJson(field.message, value as never);
  if (field.enum !== undefined) return enumName(field.enum, value as number);
  return value instanceof Uint8Array ? value.toHex() : value as JsonValue;
}

function enumName(desc: DescEnum, number: number): string {
  return desc.value[number]?.localName ?? `UNKNOWN(${number})`;
}
