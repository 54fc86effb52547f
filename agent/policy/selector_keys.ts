import type { LabelSelector, NetworkPolicyObject } from "./objects/types.ts";
import type { ObjectDiff } from "./snapshot.ts";

/**
 * The label keys that the policies' pod selectors name. An identity filter must not leave these out:
 * pods that a policy tells apart must not share an identity.
 */
export class SelectorKeys {
  /** How many policies name each. */
  readonly #counts = new Map<string, number>();
  /** By policy. */
  readonly #ofPolicy = new Map<string, ReadonlySet<string>>();

  /** Whether a policy names a key. */
  has(key: string): boolean {
    return this.#counts.has(key);
  }

  /** The keys, in no order. */
  [Symbol.iterator](): Iterator<string> {
    return this.#counts.keys();
  }

  /** Takes in what changed among the policies. @returns whether there are other keys now */
  update({ upserted, removed }: ObjectDiff<NetworkPolicyObject>): boolean {
    const gained = new Set<string>();
    const lost = new Set<string>();
    for (const policy of upserted) this.#replace(policy, keysOf(policy), gained, lost);
    for (const policy of removed) this.#replace(policy, new Set(), gained, lost);
    return gained.size + lost.size > 0;
  }

  #replace(
    { namespace, name }: NetworkPolicyObject,
    keys: ReadonlySet<string>,
    gained: Set<string>,
    lost: Set<string>,
  ): void {
    const policy = `${namespace}/${name}`;
    for (const key of keys) {
      const count = this.#counts.get(key) ?? 0;
      this.#counts.set(key, count + 1);
      if (count === 0 && !lost.delete(key)) gained.add(key);
    }
    for (const key of this.#ofPolicy.get(policy) ?? []) {
      const count = this.#counts.get(key) ?? 0;
      if (count > 1) this.#counts.set(key, count - 1);
      else {
        this.#counts.delete(key);
        if (!gained.delete(key)) lost.add(key);
      }
    }
    if (keys.size > 0) this.#ofPolicy.set(policy, keys);
    else this.#ofPolicy.delete(policy);
  }
}

function keysOf(policy: NetworkPolicyObject): ReadonlySet<string> {
  const keys = new Set<string>();
  const add = (selector: LabelSelector | undefined) => {
    for (const { key } of selector?.requirements ?? []) keys.add(key);
  };
  add(policy.podSelector);
  for (const rule of [...policy.ingress, ...policy.egress]) {
    for (const peer of rule.peers) if (peer.kind === "pods") add(peer.podSelector);
  }
  return keys;
}
