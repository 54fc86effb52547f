import { CniCode, CniError } from "./errors.ts";

/** What the plugin takes from CNI_ARGS. */
export interface CniArgs {
  /** K8S_POD_NAME */
  readonly podName?: string;
  /** K8S_POD_NAMESPACE */
  readonly podNamespace?: string;
  /** IP: the address asked for, as it was written. */
  readonly ip?: string;
}

/** Keys that runtimes pass and that say nothing we need. */
const TOLERATED = new Set(["IgnoreUnknown", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID"]);
const USED = new Set(["K8S_POD_NAME", "K8S_POD_NAMESPACE", "IP"]);
const TRUE = new Set(["1", "true", "t"]);
const FALSE = new Set(["0", "false", "f"]);

/**
 * Decodes CNI_ARGS: `KEY=VALUE` pairs between semicolons; the last of a repeated key counts.
 *
 * @param strict false takes what can be read and ignores the rest: DEL must clean up after an ADD that was refused.
 * @throws {CniError} code 4 for a pair without a key or `=`, and for an unknown key without IgnoreUnknown.
 */
export function parseCniArgs(text: string, strict: boolean): CniArgs {
  const pairs = splitPairs(text, strict);
  if (strict) refuseUnknown(pairs);
  const podName = pairs.get("K8S_POD_NAME");
  const podNamespace = pairs.get("K8S_POD_NAMESPACE");
  const ip = pairs.get("IP");
  return {
    ...(podName ? { podName } : {}),
    ...(podNamespace ? { podNamespace } : {}),
    ...(ip ? { ip } : {}),
  };
}

function splitPairs(text: string, strict: boolean): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(";")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals > 0) {
      pairs.set(pair.slice(0, equals), pair.slice(equals + 1));
    } else if (strict) {
      throw invalid(`${JSON.stringify(pair)} is not KEY=VALUE`);
    }
  }
  return pairs;
}

function refuseUnknown(pairs: ReadonlyMap<string, string>): void {
  if (ignoresUnknown(pairs.get("IgnoreUnknown"))) return;
  for (const key of pairs.keys()) {
    if (!USED.has(key) && !TOLERATED.has(key)) {
      throw invalid(`unknown key ${JSON.stringify(key)} (pass IgnoreUnknown=1 to have it ignored)`);
    }
  }
}

function ignoresUnknown(text: string | undefined): boolean {
  if (text === undefined) return false;
  if (isTrue(text)) return true;
  if (FALSE.has(text.toLowerCase())) return false;
  throw invalid(`IgnoreUnknown=${JSON.stringify(text)} is not a boolean`);
}

/** @returns whether a text is one of those that CNI takes for true. */
export function isTrue(text: string): boolean {
  return TRUE.has(text.toLowerCase());
}

function invalid(why: string): CniError {
  return new CniError(CniCode.INVALID_ENVIRONMENT, `invalid CNI_ARGS: ${why}`);
}
