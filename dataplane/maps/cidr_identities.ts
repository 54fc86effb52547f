/** The CIDR_IDENTITIES map: versioned identities of address ranges, by longest prefix. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { CidrKeyCodec, CidrValueCodec } from "../../shared/gen/abi.ts";
import { viewOf } from "./bytes.ts";

/** One element as it stands in the map. */
export interface StoredCidr {
  readonly address: number;
  readonly prefixLen: number;
  /** The policy generation from which on index 1 is in force. */
  readonly generation: number;
  /** 0: no range that policy names. */
  readonly identities: readonly [number, number];
}

/** Typed access to CIDR_IDENTITIES. */
export class CidrIdentitiesMap {
  readonly map: BpfMap;

  /** @param map Stays the caller's. */
  constructor(map: BpfMap) {
    this.map = map;
  }

  /** All elements. @throws SysError */
  *entries(): Generator<StoredCidr> {
    for (const [key, value] of this.map.entries()) {
      const { prefixLen, addressBe } = CidrKeyCodec.decode(key);
      const { generation, identity: [before = 0, after = 0] } = CidrValueCodec.decode(value);
      const address = viewOf(addressBe).getUint32(0, false);
      yield { address, prefixLen, generation, identities: [before, after] };
    }
  }

  /** Adds or replaces one element: readers see the old node or the new one. @throws SysError ENOSPC when the map is full */
  set({ address, prefixLen, generation, identities }: StoredCidr): void {
    const value = CidrValueCodec.encode({ generation, identity: identities });
    this.map.update(encodeKey(address, prefixLen), value);
  }

  /** Removes one element, if it is there. @throws SysError */
  delete(address: number, prefixLen: number): void {
    this.map.delete(encodeKey(address, prefixLen));
  }
}

function encodeKey(address: number, prefixLen: number): Uint8Array<ArrayBuffer> {
  const addressBe = new Uint8Array(4);
  viewOf(addressBe).setUint32(0, address, false);
  return CidrKeyCodec.encode({ prefixLen, addressBe });
}
