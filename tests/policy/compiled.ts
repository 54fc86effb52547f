/** The compiler's answer to the model's questions. */
import { compile } from "../../agent/policy/compile.ts";
import { type CompiledEntry, FIXED_RULES, IDENTITY, RULE_ID } from "../../agent/policy/entries.ts";
import { type EvaluatedEnd, PolicyEvaluator } from "../../agent/policy/evaluate.ts";
import { namespaceLabels } from "../../agent/policy/objects/namespace.ts";
import { labelSet, type NamespaceObject } from "../../agent/policy/objects/types.ts";
import { groupObjects } from "../../agent/policy/snapshot.ts";
import {
  PROTOCOL_NUMBERS,
  readPolicy,
  TestIdentities,
} from "../../agent/policy/testing/endpoints.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import type { ModelCluster, ModelEnd, ModelPod, Verdict } from "./model.ts";

const FIRST_POD_IDENTITY = 256;

/** A cluster compiled to policy entries, and asked as the datapath asks them. */
export class CompiledCluster {
  readonly #identities = new TestIdentities();
  readonly #evaluator: PolicyEvaluator;
  readonly #names: Readonly<Record<number, string>>;
  readonly #defaultRule: number;

  constructor(cluster: ModelCluster, pods: readonly ModelPod[]) {
    const { defaultDeny = false } = cluster;
    const namespaces = Object.entries(cluster.namespaces).map((
      [name, labels],
    ): NamespaceObject => ({
      kind: "Namespace",
      name,
      source: { file: "n.yaml", line: 1 },
      labels: namespaceLabels(name, labelSet(labels)),
    }));
    const objects = groupObjects([...namespaces, ...cluster.policies.map(readPolicy)]);
    const endpoints = pods.map((pod) => this.#identities.endpoint(pod));
    const desired = compile(objects, endpoints, { defaultDeny });
    this.#evaluator = new PolicyEvaluator(desired, defaultDeny);
    this.#names = { ...FIXED_RULES, ...desired.ruleNames };
    this.#defaultRule = defaultDeny ? RULE_ID.defaultDeny : RULE_ID.defaultAllow;
  }

  /** Both decisions, each at an end that is a pod; a drop is told by the first end that drops or would drop. */
  decide(
    from: ModelEnd,
    to: ModelEnd,
    protocol: string,
    port: number,
  ): { verdict: Verdict; rule: string } {
    const [source, destination] = [this.#end(from), this.#end(to)];
    const number = PROTOCOL_NUMBERS[protocol] as number;
    const decisions = [];
    if (source.identity >= FIRST_POD_IDENTITY) {
      decisions.push(this.#evaluator.decide("egress", source, destination, number, port));
    }
    if (destination.identity >= FIRST_POD_IDENTITY) {
      decisions.push(this.#evaluator.decide("ingress", destination, source, number, port));
    }
    const decided = decisions.find(({ allowed }) => !allowed) ??
      decisions.find(({ audited }) => audited) ?? decisions.at(-1);
    if (decided === undefined) return { verdict: "allow", rule: "" };
    const { allowed, audited, entry } = decided;
    const verdict = audited ? "audit" : allowed ? "allow" : "deny";
    return { verdict, rule: this.#nameOf(entry) };
  }

  #nameOf(entry: CompiledEntry | undefined): string {
    return this.#names[entry?.ruleId ?? this.#defaultRule] ?? "";
  }

  #end(end: ModelEnd): EvaluatedEnd {
    if ("pod" in end) return this.#identities.endpoint(end.pod);
    return "node" in end
      ? { ip: Ipv4.parse(end.node), identity: IDENTITY.host }
      : { ip: Ipv4.parse(end.address), identity: IDENTITY.world };
  }
}
