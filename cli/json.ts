/** What can be printed as JSON; a bigint is a number. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/**
 * JSON text. Unlike JSON.stringify it prints a bigint, with all its digits.
 *
 * @param indent spaces for each level; 0 puts everything on one line.
 */
export function toJson(value: JsonValue, indent = 0): string {
  return write(value, indent, "\n");
}

function write(value: JsonValue, indent: number, newline: string): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = newline + " ".repeat(indent);
  const parts = Array.isArray(value)
    ? value.map((one: JsonValue) => write(one, indent, inner))
    : Object.entries(value).map(([key, one]) => {
      return `${JSON.stringify(key)}:${indent > 0 ? " " : ""}${write(one, indent, inner)}`;
    });
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (parts.length === 0) return `${open}${close}`;
  if (indent === 0) return `${open}${parts.join(",")}${close}`;
  return `${open}${inner}${parts.join(`,${inner}`)}${newline}${close}`;
}

/** @returns the object without members that are zero: false, 0, "", null and empty lists and objects. */
export function withoutZeros(object: { readonly [key: string]: JsonValue }) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => !isZero(value)));
}

function isZero(value: JsonValue): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return !value;
}
