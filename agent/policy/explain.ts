import type { Cidr } from "../../shared/net/mod.ts";
import type { IdentityGroup } from "./identity_group.ts";
import type { LabelSet, NetworkPolicyObject, ObjectSource, PolicyMode } from "./objects/types.ts";
import { unpackPortKey } from "./port_keys.ts";
import type { Origin } from "./rule_state.ts";
import type { SelectedIdentity } from "./selected_identity.ts";

/** A policy, or a rule of it, with the place where it is written. */
export interface PolicyOrigin {
  /** The policy's namespace. */
  readonly namespace: string;
  /** The policy's name. */
  readonly name: string;
  /** The file of the policy and the line of the policy or the rule. */
  readonly source: ObjectSource;
}

/** A rule that allows something. */
export interface RuleOrigin extends PolicyOrigin {
  /** The id that entries and flows carry. */
  readonly ruleId: number;
  /** `NAMESPACE/NAME:ingress[i]`. */
  readonly rule: string;
}

/** One allowed combination and every rule that allows it. */
export interface AllowExplanation {
  /** The peer's identity; 0 = anyone. */
  readonly peer: number;
  /** The peer when it is a CIDR. */
  readonly cidr: Cidr | undefined;
  /** The peer when it is pods: their namespace and labels. */
  readonly pods: { readonly namespace: string; readonly labels: LabelSet } | undefined;
  /** 0 = any. */
  readonly protocol: number;
  /** First allowed port; 0 to 65535 = any. */
  readonly fromPort: number;
  /** Last allowed port. */
  readonly toPort: number;
  /** False when a wider combination of the same identity makes an entry superfluous. */
  readonly hasEntry: boolean;
  /** By name; the entry is named after the first. */
  readonly origins: readonly RuleOrigin[];
}

/** One direction of an identity. */
export interface DirectionExplanation {
  /** The policies that deny what is not allowed; none: the default applies. */
  readonly isolatedBy: readonly PolicyOrigin[];
  /** Those in audit mode: without the ones above, and where the default allows, they say what they would deny. */
  readonly auditedBy: readonly PolicyOrigin[];
  /** The mode of the policies whose rules are in force; undefined: all is as the default says. */
  readonly mode: PolicyMode | undefined;
  /** What the rules in force allow. */
  readonly allows: readonly AllowExplanation[];
}

/** The rules in force for the pods of one identity. */
export interface IdentityExplanation {
  /** The identity that was asked for. */
  readonly identity: number;
  /** What may reach it. */
  readonly ingress: DirectionExplanation;
  /** What it may reach. */
  readonly egress: DirectionExplanation;
}

/** What an explanation looks things up in. */
export interface ExplainLookup {
  /** The policy in force of a `NAMESPACE/NAME`. */
  policy(key: string): NetworkPolicyObject | undefined;
  /** The CIDR of a CIDR identity. */
  cidr(identity: number): Cidr | undefined;
  /** The pods of an identity. */
  group(identity: number): IdentityGroup | undefined;
}

/** @param selected undefined when no policy selects the identity. */
export function explainDirection(
  selected: SelectedIdentity | undefined,
  lookup: ExplainLookup,
): DirectionExplanation {
  if (selected === undefined) {
    return { isolatedBy: [], auditedBy: [], mode: undefined, allows: [] };
  }
  const originsOf = (policies: Iterable<string>) =>
    [...policies].sort().map((key) => lookup.policy(key))
      .filter((policy) => policy !== undefined)
      .map(({ namespace, name, source }) => ({ namespace, name, source }));
  const { isolators, mode } = selected;
  const allows: AllowExplanation[] = [];
  const bucket = mode && selected.buckets[mode];
  for (const { peer, port, origins, effective } of bucket?.combinations() ?? []) {
    const { protocol, port: fromPort, prefixLen } = unpackPortKey(port);
    const pods = lookup.group(peer);
    allows.push({
      peer,
      cidr: lookup.cidr(peer),
      pods: pods && { namespace: pods.namespace, labels: pods.labels },
      protocol,
      fromPort,
      toPort: fromPort + 2 ** (16 - prefixLen) - 1,
      hasEntry: effective,
      origins: explainOrigins(origins),
    });
  }
  return {
    isolatedBy: originsOf(isolators.enforce),
    auditedBy: originsOf(isolators.audit),
    mode,
    allows,
  };
}

function explainOrigins(origins: ReadonlySet<Origin>): RuleOrigin[] {
  const rules = [...new Set([...origins].map(({ rule }) => rule))];
  return rules.sort((a, b) => (a.name < b.name ? -1 : 1)).map((rule) => ({
    namespace: rule.policy.namespace,
    name: rule.policy.name,
    source: { file: rule.policy.source.file, line: rule.line },
    ruleId: rule.id,
    rule: rule.name,
  }));
}
