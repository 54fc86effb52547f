import { Cidr } from "../../shared/net/mod.ts";
import type { CompiledCidr } from "./entries.ts";
import type { IdAllocator } from "./stable_ids.ts";

interface CidrState {
  readonly cidr: Cidr;
  readonly compiled: CompiledCidr;
  holders: number;
}

/** Every CIDR that a rule in force names, as a block or an exception, each with an identity. */
export class CidrTable {
  readonly #ids: IdAllocator;
  readonly #states = new Map<string, CidrState>();
  /** By address, then the larger first: what is inside a CIDR stands together. */
  readonly #sorted: CidrState[] = [];

  constructor(ids: IdAllocator) {
    this.#ids = ids;
  }

  /** Takes hold of a CIDR. @returns it with its identity, and whether it is new in the table. */
  acquire(cidr: Cidr): { compiled: CompiledCidr; isNew: boolean } {
    const text = cidr.toString();
    const state = this.#states.get(text);
    if (state !== undefined) {
      state.holders += 1;
      return { compiled: state.compiled, isNew: false };
    }
    const identityId = this.#ids.acquire(text);
    const { prefixLen } = cidr;
    const compiled = Object.freeze({ cidrIp: cidr.address.toU32(), prefixLen, identityId });
    const added = { cidr, compiled, holders: 1 };
    this.#states.set(text, added);
    this.#sorted.splice(this.#place(cidr), 0, added);
    return { compiled, isNew: true };
  }

  /** Lets go of a CIDR. @returns its identity when nobody holds it any more. */
  release(cidr: Cidr): number | undefined {
    const text = cidr.toString();
    const state = this.#states.get(text);
    if (state === undefined) return undefined;
    state.holders -= 1;
    if (state.holders > 0) return undefined;
    this.#states.delete(text);
    this.#sorted.splice(this.#place(cidr), 1);
    this.#ids.release(text);
    return state.compiled.identityId;
  }

  /** The CIDRs inside of one, itself included, with their identities. */
  *inside(cidr: Cidr): Generator<{ cidr: Cidr; compiled: CompiledCidr }> {
    for (let i = this.#place(cidr); i < this.#sorted.length; i++) {
      const state = this.#sorted[i] as CidrState;
      if (!cidr.contains(state.cidr)) return;
      yield state;
    }
  }

  /** The place of a CIDR, or where it belongs. */
  #place(cidr: Cidr): number {
    let [from, to] = [0, this.#sorted.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (Cidr.compare((this.#sorted[middle] as CidrState).cidr, cidr) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
