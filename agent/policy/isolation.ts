import { ACTION, type CompiledEntry, DIRECTION, type Direction } from "./entries.ts";
import type { PolicyMode } from "./objects/types.ts";

const ENDINGS: Readonly<Record<PolicyMode, string>> = { enforce: "default-deny", audit: "audit" };

/** More names than these would say no more, and make every flow record longer. */
const MAX_NAMES = 16;

/**
 * @param policies `NAMESPACE/NAME` of all that isolate an identity in the direction, any order.
 * @param mode of all of them.
 * @returns the name of the default deny that they cause together, or would cause.
 */
export function isolationName(
  policies: Iterable<string>,
  direction: Direction,
  mode: PolicyMode,
): string {
  const sorted = [...policies].sort();
  const more = sorted.length > MAX_NAMES ? `,+${sorted.length - MAX_NAMES}` : "";
  return `${sorted.slice(0, MAX_NAMES).join(",")}${more}:${direction}[${ENDINGS[mode]}]`;
}

/** @returns the entry that says an identity is isolated in a direction, or would be. */
export function isolationEntry(
  identity: number,
  direction: Direction,
  ruleId: number,
  mode: PolicyMode,
): CompiledEntry {
  const ingress = direction === "ingress";
  return Object.freeze({
    srcIdentity: ingress ? 0 : identity,
    dstIdentity: ingress ? identity : 0,
    protocol: 0,
    dstPort: 0,
    portPrefixLen: 0,
    action: mode === "audit" ? ACTION.audit : ACTION.deny,
    direction: DIRECTION[direction],
    isolation: true,
    ruleId,
  });
}
