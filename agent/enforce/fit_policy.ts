import {
  ACTION,
  type CompiledEntry,
  type DesiredPolicy,
  DIRECTION,
  entryKey,
} from "../policy/mod.ts";

/** A set that takes the place of one that the dataplane has no room for. */
export interface FittedPolicy {
  readonly policy: DesiredPolicy;
  /** Identities of which a direction is closed. */
  readonly closed: ReadonlySet<number>;
}

/**
 * What to put in force when there is no room for all that should be: rules that do not change stay, so that those
 * pods and their connections notice nothing; of an identity whose rules in a direction do change, only the isolation
 * comes, so that what the new rules would forbid is forbidden. What they would allow is forbidden too.
 */
export function fitPolicy(inForce: DesiredPolicy, desired: DesiredPolicy): FittedPolicy {
  const before = bySelected(inForce.policies);
  const closed = new Set<number>();
  const policies: CompiledEntry[] = [];
  for (const [key, entries] of bySelected(desired.policies)) {
    const identity = selectedIdentity(entries[0]!);
    if (identity === 0 || sameEntries(entries, before.get(key) ?? [])) {
      policies.push(...entries);
      continue;
    }
    policies.push(
      ...entries.filter(({ isolation, action }) => isolation && action === ACTION.deny),
    );
    closed.add(identity);
  }
  const { cidrIdentities } = inForce;
  const ruleNames = { ...inForce.ruleNames, ...desired.ruleNames };
  return { policy: { policies, cidrIdentities, ruleNames }, closed };
}

function selectedIdentity({ direction, srcIdentity, dstIdentity }: CompiledEntry): number {
  return direction === DIRECTION.ingress ? dstIdentity : srcIdentity;
}

/** By the direction and the identity that they are rules of. */
function bySelected(entries: readonly CompiledEntry[]): Map<string, CompiledEntry[]> {
  return Map.groupBy(entries, (entry) => `${entry.direction} ${selectedIdentity(entry)}`);
}

function sameEntries(a: readonly CompiledEntry[], b: readonly CompiledEntry[]): boolean {
  if (a.length !== b.length) return false;
  const known = new Map(b.map((entry) => [entryKey(entry), entry]));
  return a.every((entry) => {
    const other = known.get(entryKey(entry));
    return other?.action === entry.action && other.ruleId === entry.ruleId;
  });
}
