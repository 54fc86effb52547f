/** The ENDPOINTS map: who is at an address. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { type EndpointValue, EndpointValueCodec } from "../../shared/gen/abi.ts";
import { u32Key } from "./bytes.ts";

/**
 * One address that has an identity: a pod of this node (ifindex of its host veth), or any other (0).
 * nodeIp is the address of the node that the pod runs on; 0 or this node's own for a local one.
 */
export type Endpoint = EndpointValue;

/** Bytes of a MAC address. */
export const MAC_BYTES = 6;

/** Typed access to ENDPOINTS. */
export class EndpointsMap {
  readonly map: BpfMap;

  /** @param map Stays the caller's. */
  constructor(map: BpfMap) {
    this.map = map;
  }

  /** All elements. @throws SysError */
  *entries(): Generator<Endpoint> {
    for (const [, value] of this.map.entries()) yield EndpointValueCodec.decode(value);
  }

  /** Adds or replaces one element. @throws SysError E2BIG when the map is full */
  set(endpoint: Endpoint): void {
    this.map.update(u32Key(endpoint.ip), EndpointValueCodec.encode(endpoint));
  }

  /** Removes one element, if it is there. @throws SysError */
  delete(ip: number): void {
    this.map.delete(u32Key(ip));
  }
}
