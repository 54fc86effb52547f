import type { Cidr } from "../../shared/net/mod.ts";
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
    this.#states.set(text, { cidr, compiled, holders: 1 });
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
    this.#ids.release(text);
    return state.compiled.identityId;
  }

  /** All CIDRs with their identities. */
  *all(): Generator<{ cidr: Cidr; compiled: CompiledCidr }> {
    yield* this.#states.values();
  }
}
