import type { IdentityGroup } from "./identity_group.ts";
import type { LabelSet, PodPeer } from "./objects/types.ts";
import type { NamedMatch, RuleState } from "./rule_state.ts";
import { anchorsOf, ANYWHERE, SelectorIndex } from "./selector_index.ts";

/** Finds the rules that pods may be peers of, without a look at all the others. */
export class PeerIndex {
  /** By the peers' pod selectors. */
  readonly #byPods = new SelectorIndex<RuleState>();
  /** By their namespace selectors, where a pod selector names no label that it wants. */
  readonly #byNamespaces = new SelectorIndex<RuleState>();
  /** Rules that everybody with a port name is a peer of, by protocol and name. */
  readonly #byPorts = new Map<string, Set<RuleState>>();

  add(rule: RuleState): void {
    for (const [index, scope, selector] of this.#places(rule)) index.add(scope, selector, rule);
    if (!rule.resolvesAtPeers) return;
    for (const port of rule.namedPorts) {
      const rules = this.#byPorts.get(portText(port));
      if (rules === undefined) this.#byPorts.set(portText(port), new Set([rule]));
      else rules.add(rule);
    }
  }

  remove(rule: RuleState): void {
    for (const [index, scope, selector] of this.#places(rule)) index.remove(scope, selector, rule);
    for (const port of rule.namedPorts) {
      const rules = this.#byPorts.get(portText(port));
      if (rules?.delete(rule) && rules.size === 0) this.#byPorts.delete(portText(port));
    }
  }

  /**
   * The rules that an identity's pods may be peers of, and some that they are not; each once.
   * @param namespaceLabels those of its namespace.
   */
  candidates(group: IdentityGroup, namespaceLabels: LabelSet): Set<RuleState> {
    return new Set([
      ...this.#byPods.candidates(group.namespace, group.labels),
      ...this.#byPods.candidates(ANYWHERE, group.labels),
      ...this.#byNamespaces.candidates(ANYWHERE, namespaceLabels),
      ...group.namedPorts.flatMap((port) => [...this.#byPorts.get(portText(port)) ?? []]),
    ]);
  }

  #places({ pods, policy }: RuleState) {
    return pods.map(({ namespaceSelector, podSelector }: PodPeer) => {
      if (namespaceSelector === undefined) {
        return [this.#byPods, policy.namespace, podSelector] as const;
      }
      return anchorsOf(podSelector) === undefined
        ? [this.#byNamespaces, ANYWHERE, namespaceSelector] as const
        : [this.#byPods, ANYWHERE, podSelector] as const;
    });
  }
}

function portText({ protocol, name }: NamedMatch): string {
  return `${protocol}/${name}`;
}
