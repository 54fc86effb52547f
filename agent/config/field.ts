import { Cidr } from "../../shared/net/mod.ts";

/** One configuration key: its default, its check, and what documentation says about it. */
export interface Field<T> {
  /** The value when nobody gives one. */
  readonly default: T;
  /**
   * Turns a JSON value into the field's value.
   * @throws {BadValue} when it is not allowed
   */
  parse(value: unknown): T;
  /** Allowed values in words, for documentation and error texts. */
  readonly allowed: string;
  /** What the key does, in one sentence. */
  readonly doc: string;
  /** Environment variables that override it, the first one that is set wins. */
  readonly env: readonly string[];
  /** Says whether a value switches on a feature that this version does not have, and which. */
  missing(value: T): string | undefined;
}

/** Optional parts of a field. */
export interface FieldOptions<T> {
  readonly env?: readonly string[];
  readonly missing?: (value: T) => string | undefined;
}

/** Thrown by a field's parser; becomes a ConfigError, which knows source and key. */
export class BadValue extends Error {
  override readonly name = "BadValue";
}

function field<T>(
  doc: string,
  fallback: T,
  allowed: string,
  parse: (value: unknown) => T,
  options: FieldOptions<T> = {},
): Field<T> {
  return {
    default: fallback,
    parse,
    allowed,
    doc,
    env: options.env ?? [],
    missing: options.missing ?? (() => undefined),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** true or false; from the environment also 1 and 0. */
export function bool(doc: string, fallback: boolean, options?: FieldOptions<boolean>) {
  return field(doc, fallback, "true or false", (value) => {
    if (value === true || value === "true" || value === "1") return true;
    if (value === false || value === "false" || value === "0") return false;
    throw new BadValue("must be true or false");
  }, options);
}

/** A whole number from min to max, both allowed. */
export function integer(
  doc: string,
  fallback: number,
  min: number,
  max: number,
  options?: FieldOptions<number>,
) {
  const allowed = `${min} to ${max}`;
  return field(doc, fallback, allowed, (value) => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw new BadValue(`must be a whole number from ${allowed}`);
    }
    return value;
  }, options);
}

/** A whole number, or undefined when the key is not given. */
export function optionalInteger(doc: string, min: number, max: number) {
  const inner = integer(doc, min, min, max);
  return field<number | undefined>(doc, undefined, inner.allowed, inner.parse);
}

/** One of a few words, whatever its case. */
export function word<const W extends readonly string[]>(
  doc: string,
  fallback: W[number],
  words: W,
  options?: FieldOptions<W[number]>,
) {
  const allowed = words.join(", ");
  return field<W[number]>(doc, fallback, allowed, (value) => {
    const found = isText(value) ? words.find((w) => w === value.toLowerCase()) : undefined;
    if (found === undefined) throw new BadValue(`must be one of ${allowed}`);
    return found;
  }, options);
}

/** One of a few words, or undefined when the key is not given. */
export function optionalWord<const W extends readonly string[]>(
  doc: string,
  words: W,
  options?: FieldOptions<W[number] | undefined>,
) {
  const inner = word(doc, words[0] ?? "", words);
  return field<W[number] | undefined>(doc, undefined, inner.allowed, inner.parse, options);
}

/** An absolute path. */
export function path(doc: string, fallback: string) {
  return field(doc, fallback, "absolute path", (value) => {
    if (!isText(value) || !value.startsWith("/")) throw new BadValue("must be an absolute path");
    return value;
  });
}

/** Any text; `pattern` narrows it. */
export function text(
  doc: string,
  fallback: string,
  pattern: { readonly test: RegExp; readonly allowed: string } | undefined,
  options?: FieldOptions<string>,
) {
  return field(doc, fallback, pattern?.allowed ?? "any text", (value) => {
    if (!isText(value)) throw new BadValue("must be a text");
    if (pattern !== undefined && !pattern.test.test(value)) {
      throw new BadValue(`must be ${pattern.allowed}`);
    }
    return value;
  }, options);
}

/** An IPv4 CIDR without host bits. */
export function cidr(doc: string, fallback: string, options?: FieldOptions<Cidr>) {
  return field(doc, Cidr.parse(fallback), "IPv4 CIDR", (value) => {
    if (!isText(value)) throw new BadValue("must be an IPv4 CIDR");
    try {
      return Cidr.parse(value);
    } catch (cause) {
      throw new BadValue(cause instanceof Error ? cause.message : String(cause), { cause });
    }
  }, options);
}

/** A list of texts; from the environment separated by commas. */
export function textList(doc: string, fallback: readonly string[]) {
  return field<readonly string[]>(doc, fallback, "list of texts", (value) => {
    if (!Array.isArray(value)) throw new BadValue("must be a list of texts");
    return value.map((item: unknown, index) => {
      if (!isText(item) || item === "") {
        throw new BadValue(`item ${index} must be a text that is not empty`);
      }
      return item;
    });
  });
}

/** A list that must be empty until its feature exists; its items are kept as they are. */
export function listOfLater(doc: string, feature: string) {
  return field<readonly unknown[]>(doc, [], "list", (value) => {
    if (!Array.isArray(value)) throw new BadValue("must be a list");
    return value;
  }, { missing: (value) => value.length > 0 ? feature : undefined });
}
