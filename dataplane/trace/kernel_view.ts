/** What the datapath's maps hold at this moment, read as its programs read it. */

import { BPF_F_LOCK, type BpfMap } from "../../shared/ffi/bpf.ts";
import {
  CidrKeyCodec,
  CidrValueCodec,
  type ConntrackEntry,
  type ConntrackKey,
  type DatapathState,
  DatapathStateCodec,
  type EndpointValue,
  EndpointValueCodec,
  PolicyAbsent,
  type PolicyKey,
  PolicyKeyCodec,
  type PolicyShape,
  PolicyShapeKeyCodec,
  PolicyShapeValueCodec,
  PolicyValueCodec,
} from "../../shared/gen/abi.ts";
import { equalBytes, u32Key, viewOf } from "../maps/bytes.ts";
import type { Connections } from "../maps/connections.ts";
import { versionInForce } from "../maps/datapath_state.ts";
import { type PodIface, PodIfacesMap } from "../maps/pod_ifaces.ts";

/** What a policy entry decides. */
export interface StoredDecision {
  /** Number of the proto enum PolicyAction. */
  readonly action: number;
  readonly ruleId: number;
}

/** The most specific CIDR that policy names and that holds an address. */
export interface CidrMatch {
  readonly prefixLen: number;
  /** 0: the entry is of a set that is not in force. */
  readonly identity: number;
}

const LONGEST_PREFIX = 32;

/** Reads single elements of the maps; nothing is kept but the state, of which a packet sees one. */
export class KernelView {
  readonly #map: (name: string) => BpfMap;
  readonly #connections: Connections;
  readonly #ifaces: PodIfacesMap;
  /** DATAPATH_STATE as it was when the view was made. */
  readonly state: DatapathState;

  /** @param map gives a map by its name in maps.h; they stay the caller's. @throws SysError */
  constructor(map: (name: string) => BpfMap, connections: Connections) {
    this.#map = map;
    this.#connections = connections;
    this.#ifaces = new PodIfacesMap(map("POD_IFACES"), map("POD_IFACES_MORE"));
    const state = map("DATAPATH_STATE").lookup(u32Key(0));
    this.state = DatapathStateCodec.decode(state ?? new Uint8Array(DatapathStateCodec.size));
  }

  /** Who is at an address. @throws SysError */
  endpoint(ip: number): EndpointValue | undefined {
    const value = this.#map("ENDPOINTS").lookup(u32Key(ip));
    return value && EndpointValueCodec.decode(value);
  }

  /** The pod behind an interface of the host. @throws SysError */
  iface(ifindex: number): PodIface | undefined {
    return this.#ifaces.get(ifindex);
  }

  /** The connection of a key. @throws SysError */
  connection(key: ConntrackKey): ConntrackEntry | undefined {
    return this.#connections.find(key);
  }

  /** All connections, in slices, so that a large table does not keep others waiting. @throws SysError */
  connections(): Generator<Generator<ConntrackEntry>> {
    return this.#connections.slices();
  }

  /** @throws SysError */
  cidr(ip: number): CidrMatch | undefined {
    if (this.state.cidrCount === 0) return undefined;
    const found = this.#cidrAt(ip, LONGEST_PREFIX);
    if (found === undefined) return undefined;
    // The map tells the entry, not its length: shorter keys find it until they are shorter than it is.
    let prefixLen = LONGEST_PREFIX;
    while (prefixLen > 0) {
      const shorter = this.#cidrAt(ip, prefixLen - 1);
      if (shorter === undefined || !equalBytes(shorter, found)) break;
      prefixLen--;
    }
    const { generation, identity } = CidrValueCodec.decode(found);
    return { prefixLen, identity: identity[versionInForce(this.state, generation)] ?? 0 };
  }

  /** Which key shapes the entries of a selected identity have. @throws SysError */
  shape(identity: number, direction: number): PolicyShape {
    const key = PolicyShapeKeyCodec.encode({ identity, direction });
    const value = this.#map("POLICY_SHAPES").lookup(key, BPF_F_LOCK);
    if (value === undefined) return { exactProtocol: 0, anyProtocol: 0 };
    return PolicyShapeValueCodec.decode(value).shape;
  }

  /** What the entry of a key decides in the set in force; undefined when there is none. @throws SysError */
  policy(key: PolicyKey): StoredDecision | undefined {
    const found = this.#map("POLICIES").lookup(PolicyKeyCodec.encode(key), BPF_F_LOCK);
    if (found === undefined) return undefined;
    const { generation, action, ruleId } = PolicyValueCodec.decode(found);
    const version = versionInForce(this.state, generation);
    if (action[version] === PolicyAbsent.POLICY_ABSENT) return undefined;
    return { action: action[version] ?? 0, ruleId: ruleId[version] ?? 0 };
  }

  #cidrAt(ip: number, prefixLen: number): Uint8Array | undefined {
    const addressBe = new Uint8Array(4);
    viewOf(addressBe).setUint32(0, ip, false);
    return this.#map("CIDR_IDENTITIES").lookup(CidrKeyCodec.encode({ prefixLen, addressBe }));
  }
}
