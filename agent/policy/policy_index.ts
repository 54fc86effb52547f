import type { Ipv4 } from "../../shared/net/mod.ts";
import { Combinations } from "./combinations.ts";
import {
  type CompiledCidr,
  type DesiredPolicy,
  type Direction,
  FIXED_RULES,
  type PolicyChanges,
} from "./entries.ts";
import { explainDirection, type IdentityExplanation } from "./explain.ts";
import type { IdentityGroup, PolicyEndpoint } from "./identity_group.ts";
import { IdentityTable } from "./identity_table.ts";
import type { LabelSet, NetworkPolicyObject } from "./objects/types.ts";
import { RuleNames } from "./rule_names.ts";
import { ruleName, RuleState } from "./rule_state.ts";
import { RuleTable } from "./rule_table.ts";
import { selects } from "./selector.ts";
import { SelectorIndex } from "./selector_index.ts";
import { diffObjects, type ObjectsDiff, type PolicyObjects } from "./snapshot.ts";
import type { IdAllocator } from "./stable_ids.ts";

/** What the index takes its numbers from. */
export interface PolicyIds {
  /** Rule ids, from RULE_ID.first up. */
  readonly rules: IdAllocator;
  /** CIDR identities, from FIRST_CIDR_IDENTITY up. */
  readonly cidrs: IdAllocator;
}

/** A policy in force. */
interface PolicyState {
  readonly policy: NetworkPolicyObject;
  readonly rules: readonly RuleState[];
  readonly selected: Set<IdentityGroup>;
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/**
 * The policy compiler. It holds the policies, namespaces and endpoints that are in force and the
 * policy entries that follow from them; a change works out only the combinations that it touches,
 * when `desired()`, `takeChanges()` or `explain()` asks. Pure.
 */
export class PolicyIndex {
  readonly #identities = new IdentityTable();
  readonly #names: RuleNames;
  readonly #combinations: Combinations;
  readonly #rules: RuleTable;
  readonly #policies = new Map<string, PolicyState>();
  readonly #bySelector = new SelectorIndex<PolicyState>();
  #applied: PolicyObjects | undefined;

  /** @param defaultDeny whether pods that no policy isolates are closed (config key 5). */
  constructor(ids: PolicyIds, { defaultDeny = false }: { defaultDeny?: boolean } = {}) {
    this.#names = new RuleNames(ids.rules);
    this.#combinations = new Combinations(this.#names, defaultDeny);
    this.#rules = new RuleTable(this.#identities, this.#combinations, ids.cidrs);
  }

  /** Puts the policies and namespaces of a snapshot in force, by what differs from the last one. @returns that */
  applySnapshot(snapshot: PolicyObjects): ObjectsDiff {
    const diff = diffObjects(this.#applied, snapshot);
    for (const { namespace, name } of diff.policies.removed) this.removePolicy(namespace, name);
    for (const { name } of diff.namespaces.removed) this.setNamespace(name, undefined);
    for (const { name, labels } of diff.namespaces.upserted) this.setNamespace(name, labels);
    for (const policy of diff.policies.upserted) this.addPolicy(policy);
    this.#applied = snapshot;
    return diff;
  }

  /** Puts a policy in force, in place of the one of the same namespace and name. */
  addPolicy(policy: NetworkPolicyObject): void {
    const state = this.#newState(policy);
    // The new rules hold ids and CIDRs before the old ones let go: what stays keeps its number.
    for (const rule of state.rules) this.#rules.reserve(rule);
    this.removePolicy(policy.namespace, policy.name);
    this.#policies.set(policyKey(policy), state);
    this.#bySelector.add(policy.namespace, policy.podSelector, state);
    for (const rule of state.rules) this.#rules.add(rule);
    for (const group of this.#identities.selected(policy.namespace, policy.podSelector)) {
      this.#select(state, group);
    }
  }

  /** Takes a policy out of force; one that is not there is no error. */
  removePolicy(namespace: string, name: string): void {
    const state = this.#policies.get(policyKey({ namespace, name }));
    if (state === undefined) return;
    for (const group of [...state.selected]) this.#unselect(state, group);
    for (const rule of state.rules) {
      this.#rules.remove(rule);
      this.#names.release(rule.name, rule.id);
    }
    this.#policies.delete(policyKey(state.policy));
    this.#bySelector.remove(namespace, state.policy.podSelector, state);
  }

  /**
   * Sets the labels of a namespace.
   * @param labels undefined when it has no object: then its name is its only label.
   */
  setNamespace(name: string, labels: LabelSet | undefined): void {
    const before = this.#identities.namespaceLabels(name);
    this.#identities.setNamespace(name, labels);
    for (const group of this.#identities.groups(name)) this.#rules.updatePeer(group, before);
  }

  /**
   * Adds an endpoint or changes it; its address says which one it is.
   * @throws {IdentityConflictError} when its identity is known with other labels; nothing changed.
   */
  upsertEndpoint(endpoint: PolicyEndpoint): void {
    this.#identities.check(endpoint);
    if (this.#identities.endpoint(endpoint.ip)?.identity !== endpoint.identity) {
      this.removeEndpoint(endpoint.ip);
    }
    const { group, isNew } = this.#identities.put(endpoint);
    if (isNew) {
      for (const state of this.#policiesOf(group)) {
        if (selects(state.policy.podSelector, group.labels)) this.#select(state, group);
      }
      this.#rules.addPeer(group);
    }
    this.#rules.addAddress(endpoint.ip);
  }

  /** Removes the endpoint of an address; one that is not there is no error. */
  removeEndpoint(ip: Ipv4): void {
    const group = this.#identities.groupOf(ip);
    if (group === undefined) return;
    this.#rules.removeAddress(ip);
    this.#identities.remove(ip);
    if (group.addresses.size > 0) return;
    for (const state of this.#policiesOf(group)) this.#unselect(state, group);
    this.#rules.removePeer(group);
    this.#identities.forget(group);
  }

  /** The complete set that the dataplane should hold. */
  desired(): DesiredPolicy {
    this.#combinations.flush();
    return {
      policies: [...this.#combinations.entries.current.values()],
      cidrIdentities: [...this.#rules.cidrIdentities.current.values()],
      ruleNames: { ...FIXED_RULES, ...this.#names.all() },
    };
  }

  /** How many entries that set has. */
  get entryCount(): number {
    this.#combinations.flush();
    return this.#combinations.entries.current.size;
  }

  /** The CIDRs that policies name, with their identities. */
  get cidrIdentities(): Iterable<CompiledCidr> {
    return this.#rules.cidrIdentities.current.values();
  }

  /** The name of a rule in force, of the fixed ones too. */
  ruleName(id: number): string | undefined {
    return this.#names.get(id) ?? FIXED_RULES[id];
  }

  /** What changed since the last call (the first time: since the index was empty). */
  takeChanges(): PolicyChanges {
    this.#combinations.flush();
    const entries = this.#combinations.entries.take((a, b) => a.ruleId === b.ruleId);
    const cidrs = this.#rules.cidrIdentities.take((a, b) =>
      a.cidrIp === b.cidrIp && a.prefixLen === b.prefixLen
    );
    const rules = this.#names.takeChanges();
    const changes = {
      upserted: entries.upserted.map(([, entry]) => entry),
      removed: entries.removed.map(([, entry]) => entry),
      cidrsAdded: cidrs.upserted.map(([, cidr]) => cidr),
      cidrsRemoved: cidrs.removed.map(([, cidr]) => cidr),
      rulesAdded: rules.added,
      rulesRemoved: rules.removed,
    };
    return { ...changes, empty: Object.values(changes).every((part) => isEmpty(part)) };
  }

  /** How many policies are in force. */
  get policyCount(): number {
    return this.#policies.size;
  }

  /** Why pods of an identity may or may not be reached and reach others, to file and line. */
  explain(identity: number): IdentityExplanation {
    this.#combinations.flush();
    const explain = (direction: Direction) =>
      explainDirection(this.#combinations.peek(direction, identity), {
        policy: (key) => this.#policies.get(key)?.policy,
        cidr: (id) => this.#rules.cidrOf(id),
        group: (id) => this.#identities.group(id),
      });
    return { identity, ingress: explain("ingress"), egress: explain("egress") };
  }

  #newState(policy: NetworkPolicyObject): PolicyState {
    const selected = new Set<IdentityGroup>();
    const rules = DIRECTIONS.filter((direction) => policy.isolates[direction])
      .flatMap((direction) =>
        policy[direction].map((_, i) => {
          const id = this.#names.acquire(ruleName(policy, direction, i));
          return new RuleState(policy, direction, i, id, selected);
        })
      );
    return { policy, rules, selected };
  }

  /** The policies that may select an identity. */
  #policiesOf(group: IdentityGroup): Iterable<PolicyState> {
    return this.#bySelector.candidates(group.namespace, group.labels);
  }

  #select(state: PolicyState, group: IdentityGroup): void {
    state.selected.add(group);
    for (const direction of DIRECTIONS) {
      if (!state.policy.isolates[direction]) continue;
      this.#combinations.isolate(direction, group.id, state.policy.mode, policyKey(state.policy));
    }
    for (const rule of state.rules) this.#rules.select(rule, group);
  }

  #unselect(state: PolicyState, group: IdentityGroup): void {
    if (!state.selected.delete(group)) return;
    for (const direction of DIRECTIONS) {
      if (!state.policy.isolates[direction]) continue;
      this.#combinations.release(direction, group.id, state.policy.mode, policyKey(state.policy));
    }
    for (const rule of state.rules) this.#rules.unselect(rule, group);
  }
}

function policyKey(policy: { readonly namespace: string; readonly name: string }): string {
  return `${policy.namespace}/${policy.name}`;
}

function isEmpty(part: readonly unknown[] | Readonly<Record<number, string>>): boolean {
  return Array.isArray(part) ? part.length === 0 : Object.keys(part).length === 0;
}
