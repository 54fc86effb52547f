import { ConfigError } from "./error.ts";
import { BadValue, type Field } from "./field.ts";
import { CONFIG_KEYS, type ConfigKey, FIELDS } from "./fields.ts";

/** A value that somebody gave, and where. */
export interface GivenValue {
  /** Path of the file, name of the environment variable, or the flag. */
  readonly source: string;
  /** The field's value, checked. */
  readonly value: unknown;
}

/** Values given by one source. */
export type GivenValues = ReadonlyMap<ConfigKey, GivenValue>;

const SECTIONS = new Set(
  CONFIG_KEYS.filter((key) => key.includes(".")).map((key) => key.slice(0, key.indexOf("."))),
);

/**
 * Reads a configuration file's text.
 * @param source the file's path, for error texts
 * @throws {ConfigError} on a syntax error, an unknown key or a bad value
 */
export function parseConfigText(source: string, text: string): GivenValues {
  const given = new Map<ConfigKey, GivenValue>();
  for (const [key, value] of flatten(source, "", parseJson(source, text))) {
    given.set(key, { source, value: parseValue(source, key, value) });
  }
  return given;
}

/**
 * Reads the environment variables that override keys; an empty variable counts as not set.
 * @throws {ConfigError} on a bad value
 */
export function readConfigEnv(env: Readonly<Record<string, string>>): GivenValues {
  const given = new Map<ConfigKey, GivenValue>();
  for (const key of CONFIG_KEYS) {
    const name = FIELDS[key].env.find((candidate) => (env[candidate] ?? "") !== "");
    if (name === undefined) continue;
    given.set(key, { source: name, value: parseValue(name, key, env[name]) });
  }
  return given;
}

function parseJson(source: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(source, "", undefined, `it is not JSON: ${why}`, { cause });
  }
}

function* flatten(
  source: string,
  prefix: string,
  value: unknown,
): Generator<[ConfigKey, unknown]> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError(source, prefix.slice(0, -1), value, "must be a JSON object");
  }
  for (const [name, inner] of Object.entries(value)) {
    const key = `${prefix}${name}`;
    if (isConfigKey(key)) yield [key, inner];
    else if (prefix === "" && SECTIONS.has(name)) yield* flatten(source, `${name}.`, inner);
    else throw new ConfigError(source, key, inner, "unknown key");
  }
}

function isConfigKey(key: string): key is ConfigKey {
  return Object.hasOwn(FIELDS, key);
}

function parseValue(source: string, key: ConfigKey, value: unknown): unknown {
  const field: Field<unknown> = FIELDS[key];
  let parsed: unknown;
  try {
    parsed = field.parse(value);
  } catch (cause) {
    if (!(cause instanceof BadValue)) throw cause;
    throw new ConfigError(source, key, value, cause.message, { cause });
  }
  const feature = field.missing(parsed);
  if (feature !== undefined) {
    throw new ConfigError(source, key, value, `this version does not have ${feature} yet`);
  }
  return parsed;
}
