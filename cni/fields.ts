import { CniCode, CniError } from "./errors.ts";
import { isObject, type JsonObject, member } from "./json.ts";

/** The error for a configuration that is JSON, but not what it should be. */
export function invalidConfig(why: string): CniError {
  return new CniError(CniCode.INVALID_CONFIG, `invalid network configuration: ${why}`);
}

/**
 * A member that is an object when it is there.
 *
 * @param path name of the member for the message.
 * @throws {CniError} code 7.
 */
export function objectField(
  json: JsonObject,
  key: string,
  path: string = key,
): JsonObject | undefined {
  const value = member(json, key);
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  throw invalidConfig(`${path} ${JSON.stringify(value)} is not an object`);
}

/**
 * A member that is a string with something in it when it is there.
 *
 * @throws {CniError} code 7.
 */
export function textField(json: JsonObject, key: string): string | undefined {
  const value = member(json, key);
  if (value === undefined) return undefined;
  if (typeof value === "string" && value !== "") return value;
  throw invalidConfig(`${key} ${JSON.stringify(value)} is not a string with something in it`);
}

/**
 * A member that is true or false; false when it is not there.
 *
 * @throws {CniError} code 7.
 */
export function flagField(json: JsonObject, key: string): boolean {
  const value = member(json, key) ?? false;
  if (typeof value === "boolean") return value;
  throw invalidConfig(`${key} ${JSON.stringify(value)} is neither true nor false`);
}
