import { Cidr, type Ipv4 } from "../../shared/net/mod.ts";
import type { RuleState } from "./rule_state.ts";

const ADDRESS_BITS = 32;

/** Finds the rules that name a block around a CIDR, in as many steps as there are sizes of blocks. */
export class BlockIndex {
  readonly #rules = new Map<number, Set<RuleState>>();

  add(rule: RuleState): void {
    for (const { cidr } of rule.blocks) {
      const key = keyOf(cidr.address, cidr.prefixLen);
      const rules = this.#rules.get(key);
      if (rules === undefined) this.#rules.set(key, new Set([rule]));
      else rules.add(rule);
    }
  }

  remove(rule: RuleState): void {
    for (const { cidr } of rule.blocks) {
      const key = keyOf(cidr.address, cidr.prefixLen);
      const rules = this.#rules.get(key);
      if (rules?.delete(rule) && rules.size === 0) this.#rules.delete(key);
    }
  }

  /** The rules with a block that contains the CIDR or is it, whatever they except; each once. */
  around(cidr: Cidr): Set<RuleState> {
    const found = new Set<RuleState>();
    for (let length = cidr.prefixLen; length >= 0; length--) {
      const { address } = Cidr.of(cidr.address, length);
      for (const rule of this.#rules.get(keyOf(address, length)) ?? []) found.add(rule);
    }
    return found;
  }
}

function keyOf(address: Ipv4, prefixLen: number): number {
  return address.toU32() * (ADDRESS_BITS + 1) + prefixLen;
}
