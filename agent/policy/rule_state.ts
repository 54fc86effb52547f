import { Cidr, type Ipv4 } from "../../shared/net/mod.ts";
import type { Direction } from "./entries.ts";
import type { IdentityGroup } from "./identity_group.ts";
import type {
  BlockPeer,
  LabelSet,
  NamedPort,
  NetworkPolicyObject,
  PodPeer,
  PolicyPort,
  PolicyRule,
  PortProtocol,
} from "./objects/types.ts";
import { ALL_PORTS, mergeRanges, type PortKey, portKey, rangeKeys } from "./port_keys.ts";
import { selects } from "./selector.ts";

/** What an allowed combination comes from: a rule, or a rule seen through one pod's address. */
export interface Origin {
  readonly rule: RuleState;
}

/** A port name that a rule allows. */
export interface NamedMatch {
  readonly protocol: PortProtocol;
  readonly name: string;
}

/** A rule of a policy in force, ready to be matched, with the peers that it has at the moment. */
export class RuleState implements Origin {
  readonly policy: NetworkPolicyObject;
  readonly direction: Direction;
  readonly index: number;
  /** `NAMESPACE/NAME:ingress[i]`. */
  readonly name: string;
  readonly id: number;
  /** Every peer: no peers were written, or a block of all addresses. */
  readonly any: boolean;
  readonly pods: readonly PodPeer[];
  /** Empty when `any`. */
  readonly blocks: readonly BlockPeer[];
  /** Ports that are the same for every pod. */
  readonly fixedPorts: readonly PortKey[];
  /** Line of the rule in the policy's file. */
  readonly line: number;
  readonly namedPorts: readonly NamedMatch[];
  /** Identities (pods', CIDRs', or 0 for any) that the rule allows now. */
  readonly peers = new Set<number>();
  /** The identities that the policy selects now; all rules of a policy share the set. */
  readonly selected: ReadonlySet<IdentityGroup>;

  constructor(
    policy: NetworkPolicyObject,
    direction: Direction,
    index: number,
    id: number,
    selected: ReadonlySet<IdentityGroup>,
  ) {
    const rule = policy[direction][index] as PolicyRule;
    this.policy = policy;
    this.direction = direction;
    this.index = index;
    this.name = ruleName(policy, direction, index);
    this.id = id;
    this.selected = selected;
    this.line = rule.line;
    this.any = rule.peers.length === 0 || rule.peers.some(isEverything);
    this.pods = this.any ? [] : rule.peers.filter((peer) => peer.kind === "pods");
    this.blocks = this.any ? [] : rule.peers.filter((peer) => peer.kind === "block");
    this.fixedPorts = fixedPorts(rule.ports);
    this.namedPorts = rule.ports.flatMap(({ protocol, match }) =>
      match.kind === "named" ? [{ protocol, name: match.name }] : []
    );
  }

  get rule(): RuleState {
    return this;
  }

  /** Whether every pod can be a peer because only it says what the rule's port names mean. */
  get resolvesAtPeers(): boolean {
    return this.any && this.direction === "egress" && this.namedPorts.length > 0;
  }

  /** Whether a pod's address in a block matters beyond the block: for its named ports. */
  get pinsAddresses(): boolean {
    return this.direction === "egress" && this.blocks.length > 0 && this.namedPorts.length > 0;
  }

  /** Every CIDR that must have an identity for the rule's sake; repeats are possible. */
  cidrs(): Cidr[] {
    return this.blocks.flatMap((block) => [block.cidr, ...block.except]);
  }

  /** Whether an address is a peer by a block. */
  allowsAddress(address: Ipv4): boolean {
    return this.allowsCidr(Cidr.of(address, 32));
  }

  /** Whether pods of an identity are peers by labels (or by port names, see above). */
  allowsPods(group: IdentityGroup, namespaceLabels: LabelSet): boolean {
    if (this.resolvesAtPeers) return resolve(this.namedPorts, group.namedPorts).length > 0;
    return this.pods.some((peer) => this.#isPeer(peer, group, namespaceLabels));
  }

  /** Whether the addresses of a CIDR that is itself in the table are peers by a block. */
  allowsCidr(cidr: Cidr): boolean {
    return this.blocks.some((block) =>
      block.cidr.contains(cidr) && !block.except.some((except) => except.contains(cidr))
    );
  }

  /**
   * The ports allowed between a selected identity and a peer.
   * @param peer undefined for a CIDR and for any: there no name means a port.
   */
  portsFor(selected: IdentityGroup, peer: IdentityGroup | undefined): readonly PortKey[] {
    if (this.namedPorts.length === 0) return this.fixedPorts;
    const destination = this.direction === "ingress" ? selected : peer;
    if (destination === undefined) return this.fixedPorts;
    return [...new Set([...this.fixedPorts, ...this.namedPortsOf(destination)])];
  }

  /** What the rule's port names mean at a pod; names that it does not have mean nothing. */
  namedPortsOf(group: IdentityGroup): PortKey[] {
    return resolve(this.namedPorts, group.namedPorts);
  }

  #isPeer(peer: PodPeer, group: IdentityGroup, namespaceLabels: LabelSet): boolean {
    const inNamespace = peer.namespaceSelector === undefined
      ? group.namespace === this.policy.namespace
      : selects(peer.namespaceSelector, namespaceLabels);
    return inNamespace &&
      (peer.podSelector === undefined || selects(peer.podSelector, group.labels));
  }
}

/** @returns a rule's name as flows show it. */
export function ruleName(
  policy: { readonly namespace: string; readonly name: string },
  direction: Direction,
  index: number,
): string {
  return `${policy.namespace}/${policy.name}:${direction}[${index}]`;
}

function isEverything(peer: PolicyRule["peers"][number]): boolean {
  return peer.kind === "block" && peer.cidr.equals(Cidr.ALL) && peer.except.length === 0;
}

function fixedPorts(ports: readonly PolicyPort[]): PortKey[] {
  if (ports.length === 0) return [ALL_PORTS];
  const keys: PortKey[] = [];
  for (const protocol of new Set(ports.map((port) => port.protocol))) {
    const matches = ports.filter((port) => port.protocol === protocol).map((port) => port.match);
    if (matches.some(({ kind }) => kind === "all")) keys.push(portKey(protocol, 0, 0));
    else {
      const ranges = matches.filter((match) => match.kind === "range");
      for (const { from, to } of mergeRanges(ranges)) keys.push(...rangeKeys(protocol, from, to));
    }
  }
  return keys;
}

function resolve(wanted: readonly NamedMatch[], has: readonly NamedPort[]): PortKey[] {
  const keys = new Set<PortKey>();
  for (const { protocol, name } of wanted) {
    for (const port of has) {
      if (port.protocol === protocol && port.name === name) {
        keys.add(portKey(protocol, port.port, 16));
      }
    }
  }
  return [...keys];
}
