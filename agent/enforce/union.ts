import { type CompiledCidr, type DesiredPolicy, entryKey } from "../policy/mod.ts";

/**
 * A set that holds what both sets hold, for the moment in which endpoints go from the identities of one
 * to those of the other. Where both say something about the same packets, `next` counts.
 */
export function unionPolicy(now: DesiredPolicy, next: DesiredPolicy): DesiredPolicy {
  const entries = new Map([...now.policies, ...next.policies].map((e) => [entryKey(e), e]));
  const cidrs = new Map(
    [...now.cidrIdentities, ...next.cidrIdentities].map((cidr) => [cidrKey(cidr), cidr]),
  );
  return {
    policies: [...entries.values()],
    cidrIdentities: [...cidrs.values()],
    ruleNames: { ...now.ruleNames, ...next.ruleNames },
  };
}

/** What CIDR identities are keyed by, as text. */
export function cidrKey({ cidrIp, prefixLen }: CompiledCidr): string {
  return `${cidrIp}/${prefixLen}`;
}
