/** The endpoints in the kernel: addresses, and the interfaces of those that are pods of this node. */

import { equalBytes } from "../maps/bytes.ts";
import type { DatapathStateMap } from "../maps/datapath_state.ts";
import { type Endpoint, type EndpointsMap, MAC_BYTES } from "../maps/endpoints.ts";
import type { PodIface, PodIfacesMap } from "../maps/pod_ifaces.ts";
import { namingFullTable } from "../maps/table_full_error.ts";

/** The kernel objects that hold endpoints. */
export interface EndpointMaps {
  readonly endpoints: EndpointsMap;
  readonly podIfaces: PodIfacesMap;
  readonly state: DatapathStateMap;
}

/** The MAC of an interface of this network namespace; undefined when there is no such interface. */
export type MacLookup = (ifindex: number) => Uint8Array | undefined;

const NO_MAC = new Uint8Array(MAC_BYTES);

/** Owns the contents of ENDPOINTS, POD_IFACES and POD_IFACES_MORE. */
export class EndpointStore {
  readonly #maps: EndpointMaps;
  readonly #macOf: MacLookup;
  readonly #endpoints = new Map<number, Endpoint>();

  /**
   * Reads what the maps hold and makes the interfaces agree with the addresses.
   *
   * @throws SysError
   */
  constructor(maps: EndpointMaps, macOf: MacLookup) {
    this.#maps = maps;
    this.#macOf = macOf;
    for (const endpoint of maps.endpoints.entries()) this.#endpoints.set(endpoint.ip, endpoint);
    for (const iface of [...maps.podIfaces.entries()]) {
      if (this.#endpoints.get(iface.ip)?.ifindex !== iface.ifindex) {
        maps.podIfaces.delete(iface.ifindex);
      }
    }
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.ifindex !== 0) this.#openIface(endpoint);
    }
  }

  /** How many addresses there are. */
  get size(): number {
    return this.#endpoints.size;
  }

  /** All endpoints. */
  values(): Iterable<Endpoint> {
    return this.#endpoints.values();
  }

  /**
   * Adds or replaces an endpoint. A pod's interface opens last.
   *
   * @throws TableFullError, SysError
   */
  upsert(endpoint: Endpoint): void {
    const { endpoints } = this.#maps;
    const before = this.#endpoints.get(endpoint.ip);
    if (before !== undefined && before.ifindex !== endpoint.ifindex) this.#closeIface(before);
    if (before === undefined || !sameEndpoint(before, endpoint)) {
      namingFullTable("ENDPOINTS", endpoints.map.info().maxEntries, () => endpoints.set(endpoint));
      this.#endpoints.set(endpoint.ip, endpoint);
      if (endpoint.ifindex !== 0) this.#openIface(endpoint);
      this.#maps.state.judgeAgain();
    } else if (endpoint.ifindex !== 0) this.#openIface(endpoint);
  }

  /** Removes an endpoint; its interface closes first. @returns whether it was there @throws SysError */
  delete(ip: number): boolean {
    const before = this.#endpoints.get(ip);
    if (before === undefined) return false;
    this.#closeIface(before);
    this.#maps.endpoints.delete(ip);
    this.#endpoints.delete(ip);
    this.#maps.state.judgeAgain();
    return true;
  }

  #openIface({ ip, ifindex, identity, mac }: Endpoint): void {
    const gatewayMac = this.#macOf(ifindex) ?? NO_MAC;
    const iface: PodIface = { ip, ifindex, identity, mac, gatewayMac };
    const before = this.#maps.podIfaces.get(ifindex);
    if (before !== undefined && sameIface(before, iface)) return;
    const { podIfaces } = this.#maps;
    namingFullTable("POD_IFACES_MORE", podIfaces.overflowCapacity, () => podIfaces.set(iface));
  }

  /** Unless the interface is another address's by now. */
  #closeIface({ ip, ifindex }: Endpoint): void {
    const { podIfaces } = this.#maps;
    if (ifindex !== 0 && podIfaces.get(ifindex)?.ip === ip) podIfaces.delete(ifindex);
  }
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.ifindex === b.ifindex && a.identity === b.identity && a.nodeIp === b.nodeIp &&
    equalBytes(a.mac, b.mac);
}

/** Whether the programs would see the same in both. */
export function sameIface(a: PodIface, b: PodIface): boolean {
  return a.ip === b.ip && a.identity === b.identity && equalBytes(a.mac, b.mac) &&
    equalBytes(a.gatewayMac, b.gatewayMac);
}
