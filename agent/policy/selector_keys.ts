import type { LabelSelector, NetworkPolicyObject } from "./objects/types.ts";

/**
 * The label keys that the policies' pod selectors name. An identity filter must not leave these out:
 * pods that a policy tells apart must not share an identity.
 */
export function selectorKeys(policies: Iterable<NetworkPolicyObject>): Set<string> {
  const keys = new Set<string>();
  const add = (selector: LabelSelector | undefined) => {
    for (const { key } of selector?.requirements ?? []) keys.add(key);
  };
  for (const policy of policies) {
    add(policy.podSelector);
    for (const rule of [...policy.ingress, ...policy.egress]) {
      for (const peer of rule.peers) if (peer.kind === "pods") add(peer.podSelector);
    }
  }
  return keys;
}
