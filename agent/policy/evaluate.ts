import { Cidr, Ipv4 } from "../../shared/net/mod.ts";
import {
  ACTION,
  type CompiledEntry,
  type DesiredPolicy,
  DIRECTION,
  type Direction,
  IDENTITY,
} from "./entries.ts";

/** One end of a packet, as the datapath sees it. */
export interface EvaluatedEnd {
  /** Its address; the CIDR identities are looked up by it. */
  readonly ip: Ipv4;
  /** A pod's identity, or IDENTITY.host or IDENTITY.world. */
  readonly identity: number;
}

/** A decision for one direction. */
export interface Decision {
  /** Whether the direction lets the packet pass. */
  readonly allowed: boolean;
  /** Whether it does so only because the policies that would drop it are in audit mode. */
  readonly audited: boolean;
  /** The entry that decided, isolation included; undefined: the default did. */
  readonly entry: CompiledEntry | undefined;
}

/** Peers to look up, most specific first; each is a pair of the selected identity and the peer. */
type Level = readonly (readonly [selected: number, peer: number])[];

/**
 * Decides as the datapath does, from the set that it was given: the lookup order of the wire contract
 * (identity specificity, then protocol and port; deny beats allow at one step; then isolation; then
 * the default). Pure.
 */
export class PolicyEvaluator {
  readonly #entries = new Map<string, CompiledEntry>();
  readonly #isolations = new Map<string, CompiledEntry>();
  /** Port prefix lengths that occur, longest first. */
  readonly #prefixLens: readonly number[];
  readonly #cidrs: readonly { cidr: Cidr; identity: number }[];
  readonly #defaultAllowed: boolean;

  /** @param defaultDeny config key 5: what happens to identities that no policy isolates. */
  constructor(policy: DesiredPolicy, defaultDeny: boolean) {
    this.#defaultAllowed = !defaultDeny;
    const prefixLens = new Set<number>();
    for (const entry of policy.policies) {
      const { direction, protocol, dstPort, portPrefixLen: length } = entry;
      const ingress = direction === DIRECTION.ingress;
      const selected = ingress ? entry.dstIdentity : entry.srcIdentity;
      const peer = ingress ? entry.srcIdentity : entry.dstIdentity;
      if (entry.isolation) this.#isolations.set(`${direction} ${selected}`, entry);
      else {
        const prefixLen = length === 0 && dstPort !== 0 ? 16 : length;
        prefixLens.add(prefixLen);
        this.#entries.set(key(direction, selected, peer, protocol, dstPort, prefixLen), entry);
      }
    }
    this.#prefixLens = [...prefixLens].sort((a, b) => b - a);
    this.#cidrs = policy.cidrIdentities.map(({ cidrIp, prefixLen, identityId }) => ({
      cidr: Cidr.of(Ipv4.fromU32(cidrIp), prefixLen),
      identity: identityId,
    })).sort((a, b) => b.cidr.prefixLen - a.cidr.prefixLen);
  }

  /**
   * What the selected end's direction decides about a packet.
   * @param selected the pod that receives (ingress) or sends (egress).
   * @param port the destination's; 0 for protocols without ports.
   */
  decide(
    direction: Direction,
    selected: EvaluatedEnd,
    peer: EvaluatedEnd,
    protocol: number,
    port: number,
  ): Decision {
    const number = DIRECTION[direction];
    for (const level of this.#levels(selected.identity, peer)) {
      const entry = this.#search(number, level, protocol, port);
      if (entry === undefined) continue;
      return { allowed: entry.action === ACTION.allow, audited: false, entry };
    }
    const isolation = this.#isolations.get(`${number} ${selected.identity}`);
    const audited = isolation?.action === ACTION.audit;
    const allowed = audited || (isolation === undefined && this.#defaultAllowed);
    return { allowed, audited, entry: isolation };
  }

  /** The identity of the longest CIDR that contains an address; undefined when none does. */
  cidrIdentity(ip: Ipv4): number | undefined {
    return this.#cidrs.find(({ cidr }) => cidr.contains(ip))?.identity;
  }

  #levels(selected: number, peer: EvaluatedEnd): Level[] {
    const { any } = IDENTITY;
    // The node is the node, whatever block its address lies in.
    const cidr = peer.identity === IDENTITY.host ? undefined : this.cidrIdentity(peer.ip);
    const peers = cidr === undefined ? [peer.identity] : [peer.identity, cidr];
    return [
      peers.map((id) => [selected, id] as const),
      [[selected, any] as const, ...peers.map((id) => [any, id] as const)],
      [[any, any] as const],
    ];
  }

  #search(
    direction: number,
    level: Level,
    protocol: number,
    port: number,
  ): CompiledEntry | undefined {
    for (const wanted of [protocol, 0]) {
      for (const prefixLen of this.#prefixLens) {
        const prefix = port - (port % 2 ** (16 - prefixLen));
        const hits = level
          .map(([s, p]) => this.#entries.get(key(direction, s, p, wanted, prefix, prefixLen)))
          .filter((entry) => entry !== undefined);
        const deny = hits.find(({ action }) => action === ACTION.deny);
        if (hits.length > 0) return deny ?? hits[0];
      }
    }
    return undefined;
  }
}

function key(
  direction: number,
  selected: number,
  peer: number,
  protocol: number,
  port: number,
  prefixLen: number,
): string {
  return `${direction} ${selected} ${peer} ${protocol} ${port}/${prefixLen}`;
}
