import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RuleSourceSchema } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import type { NetworkPolicyObject, PolicyObjects } from "../policy/mod.ts";

/** One place where a rule is written. */
export type RuleSource = MessageInitShape<typeof RuleSourceSchema>;

/** `NAMESPACE/NAME:ingress[0]`, or several policies of one isolation, by commas. */
const RULE = /^(?<policies>[^:]+):(?<direction>ingress|egress)\[(?<part>[^\]]+)\]$/;

/**
 * Where a rule is written, by the name that entries and flows give it.
 * @returns the rule's line, or the policies that isolate together; empty for rules that no policy made
 */
export function ruleSources(rule: string, objects: PolicyObjects): RuleSource[] {
  const { policies = "", direction, part = "" } = RULE.exec(rule)?.groups ?? {};
  const index = /^\d+$/.test(part) ? Number(part) : undefined;
  return policies.split(",")
    .map((key) => objects.policies.get(key))
    .filter((policy) => policy !== undefined)
    .map((policy) => ({
      namespace: policy.namespace,
      name: policy.name,
      file: policy.source.file,
      line: lineOf(policy, direction === "egress" ? "egress" : "ingress", index),
    }));
}

function lineOf(
  policy: NetworkPolicyObject,
  direction: "ingress" | "egress",
  index: number | undefined,
): number {
  return (index === undefined ? undefined : policy[direction][index]?.line) ?? policy.source.line;
}
