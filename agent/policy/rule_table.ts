import { Cidr, Ipv4 } from "../../shared/net/mod.ts";
import type { Bucket } from "./bucket.ts";
import { BlockIndex } from "./block_index.ts";
import { TrackedMap } from "./change_tracker.ts";
import { CidrTable } from "./cidr_table.ts";
import type { Combinations } from "./combinations.ts";
import type { CompiledCidr } from "./entries.ts";
import type { IdentityGroup } from "./identity_group.ts";
import type { IdentityTable } from "./identity_table.ts";
import type { LabelSet } from "./objects/types.ts";
import { PeerIndex } from "./peer_index.ts";
import type { Origin, RuleState } from "./rule_state.ts";
import type { IdAllocator } from "./stable_ids.ts";

/** A pod's address that a rule with port names allows by a block. */
interface Pin {
  readonly origin: Origin;
  readonly cidrIdentity: number;
  readonly group: IdentityGroup;
}

/**
 * The rules in force with their peers: pods by labels, CIDRs by blocks, and single addresses. It
 * turns every change of a rule's peers or selected identities into allowed combinations.
 */
export class RuleTable {
  readonly #identities: IdentityTable;
  readonly #combinations: Combinations;
  readonly #cidrs: CidrTable;
  readonly #cidrIdentities = new TrackedMap<number, CompiledCidr>();
  readonly #byPods = new PeerIndex();
  readonly #byBlocks = new BlockIndex();
  /** Rules that care for the addresses of single pods, with those that they allow now. */
  readonly #pins = new Map<RuleState, Map<number, Pin>>();

  constructor(identities: IdentityTable, combinations: Combinations, cidrIds: IdAllocator) {
    this.#identities = identities;
    this.#combinations = combinations;
    this.#cidrs = new CidrTable(cidrIds);
  }

  /** The CIDRs with identities. */
  get cidrIdentities(): TrackedMap<number, CompiledCidr> {
    return this.#cidrIdentities;
  }

  /** The CIDR of a CIDR identity. */
  cidrOf(identity: number): Cidr | undefined {
    const compiled = this.#cidrIdentities.current.get(identity);
    if (compiled === undefined) return undefined;
    return Cidr.of(Ipv4.fromU32(compiled.cidrIp), compiled.prefixLen);
  }

  /** Makes sure that a rule's CIDRs have identities; before `add`, and undone by `remove`. */
  reserve(rule: RuleState): void {
    for (const cidr of rule.cidrs()) this.#acquireCidr(cidr);
  }

  /** Puts a reserved rule in force. Its policy selects nothing yet. */
  add(rule: RuleState): void {
    if (rule.any) rule.peers.add(0);
    this.#byPods.add(rule);
    this.#byBlocks.add(rule);
    for (const group of this.#podsOf(rule)) this.#addPeer(rule, group.id, group);
    for (const block of rule.blocks) {
      for (const { cidr, compiled } of this.#cidrs.inside(block.cidr)) {
        if (rule.allowsCidr(cidr)) this.#addPeer(rule, compiled.identityId, undefined);
      }
    }
    if (rule.pinsAddresses) {
      this.#pins.set(rule, new Map());
      for (const { ip } of this.#identities.endpoints()) this.#pin(rule, ip);
    }
  }

  /** Takes a rule out of force. Its policy selects nothing any more. */
  remove(rule: RuleState): void {
    for (const address of [...this.#pins.get(rule)?.keys() ?? []]) {
      this.#unpin(rule, Ipv4.fromU32(address));
    }
    this.#pins.delete(rule);
    this.#byPods.remove(rule);
    this.#byBlocks.remove(rule);
    for (const cidr of rule.cidrs()) this.#releaseCidr(cidr);
  }

  /** Allows a newly selected identity all that the rule allows. */
  select(rule: RuleState, selected: IdentityGroup): void {
    const bucket = this.#bucket(rule, selected);
    for (const peer of rule.peers) {
      bucket.allow(peer, rule.portsFor(selected, this.#identities.group(peer)), rule);
    }
    for (const { origin, cidrIdentity, group } of this.#pins.get(rule)?.values() ?? []) {
      bucket.allow(cidrIdentity, rule.namedPortsOf(group), origin);
    }
  }

  /** The reverse of `select`. */
  unselect(rule: RuleState, selected: IdentityGroup): void {
    const bucket = this.#bucket(rule, selected);
    for (const peer of rule.peers) {
      bucket.withdraw(peer, rule.portsFor(selected, this.#identities.group(peer)), rule);
    }
    for (const { origin, cidrIdentity, group } of this.#pins.get(rule)?.values() ?? []) {
      bucket.withdraw(cidrIdentity, rule.namedPortsOf(group), origin);
    }
  }

  /** Matches a new identity against the rules. */
  addPeer(group: IdentityGroup): void {
    const labels = this.#identities.namespaceLabels(group.namespace);
    for (const rule of this.#byPods.candidates(group, labels)) this.#updatePeer(rule, group);
  }

  /** Takes an identity that goes from the rules' peers. */
  removePeer(group: IdentityGroup): void {
    const labels = this.#identities.namespaceLabels(group.namespace);
    for (const rule of this.#byPods.candidates(group, labels)) {
      this.#removePeer(rule, group.id, group);
    }
  }

  /**
   * Matches an identity again whose namespace's labels changed.
   * @param before the labels that its namespace had.
   */
  updatePeer(group: IdentityGroup, before: LabelSet): void {
    const now = this.#identities.namespaceLabels(group.namespace);
    const rules = this.#byPods.candidates(group, before);
    for (const rule of rules.union(this.#byPods.candidates(group, now))) {
      this.#updatePeer(rule, group);
    }
  }

  /** Notes a new endpoint. */
  addAddress(ip: Ipv4): void {
    for (const rule of this.#byBlocks.around(Cidr.of(ip, 32))) this.#pin(rule, ip);
  }

  /** Notes that an endpoint goes. */
  removeAddress(ip: Ipv4): void {
    for (const rule of this.#byBlocks.around(Cidr.of(ip, 32))) this.#unpin(rule, ip);
  }

  /** The identities that a rule's peers select now. */
  *#podsOf(rule: RuleState): Generator<IdentityGroup> {
    if (rule.resolvesAtPeers) {
      for (const group of this.#identities.groups()) {
        if (rule.namedPortsOf(group).length > 0) yield group;
      }
      return;
    }
    for (const { namespaceSelector, podSelector } of rule.pods) {
      yield* namespaceSelector === undefined
        ? this.#identities.selected(rule.policy.namespace, podSelector)
        : this.#identities.selectedAnywhere(namespaceSelector, podSelector);
    }
  }

  #updatePeer(rule: RuleState, group: IdentityGroup): void {
    const labels = this.#identities.namespaceLabels(group.namespace);
    if (rule.allowsPods(group, labels)) this.#addPeer(rule, group.id, group);
    else this.#removePeer(rule, group.id, group);
  }

  #addPeer(rule: RuleState, peer: number, group: IdentityGroup | undefined): void {
    if (rule.peers.has(peer)) return;
    rule.peers.add(peer);
    for (const selected of rule.selected) {
      const bucket = this.#bucket(rule, selected);
      bucket.allow(peer, rule.portsFor(selected, group), rule);
    }
  }

  #removePeer(rule: RuleState, peer: number, group: IdentityGroup | undefined): void {
    if (!rule.peers.delete(peer)) return;
    for (const selected of rule.selected) {
      const bucket = this.#bucket(rule, selected);
      bucket.withdraw(peer, rule.portsFor(selected, group), rule);
    }
  }

  #pin(rule: RuleState, ip: Ipv4): void {
    const group = this.#identities.groupOf(ip);
    const pins = this.#pins.get(rule);
    if (group === undefined || pins === undefined || pins.has(ip.toU32())) return;
    const ports = rule.namedPortsOf(group);
    if (ports.length === 0 || !rule.allowsAddress(ip)) return;
    const cidrIdentity = this.#acquireCidr(Cidr.of(ip, 32));
    // An origin of its own: the block itself may allow the same port at the same address.
    const pin: Pin = { origin: { rule }, cidrIdentity, group };
    pins.set(ip.toU32(), pin);
    for (const selected of rule.selected) {
      const bucket = this.#bucket(rule, selected);
      bucket.allow(cidrIdentity, ports, pin.origin);
    }
  }

  #unpin(rule: RuleState, ip: Ipv4): void {
    const pin = this.#pins.get(rule)?.get(ip.toU32());
    if (pin === undefined) return;
    this.#pins.get(rule)?.delete(ip.toU32());
    for (const selected of rule.selected) {
      const bucket = this.#bucket(rule, selected);
      bucket.withdraw(pin.cidrIdentity, rule.namedPortsOf(pin.group), pin.origin);
    }
    this.#releaseCidr(Cidr.of(ip, 32));
  }

  #bucket({ direction, policy }: RuleState, selected: IdentityGroup): Bucket {
    return this.#combinations.bucket(direction, selected.id, policy.mode);
  }

  #acquireCidr(cidr: Cidr): number {
    const { compiled, isNew } = this.#cidrs.acquire(cidr);
    if (!isNew) return compiled.identityId;
    this.#cidrIdentities.set(compiled.identityId, compiled);
    // The addresses of the new CIDR had the identity of the one around it; they keep its rules.
    for (const rule of this.#byBlocks.around(cidr)) {
      if (rule.allowsCidr(cidr)) this.#addPeer(rule, compiled.identityId, undefined);
    }
    return compiled.identityId;
  }

  #releaseCidr(cidr: Cidr): void {
    const identity = this.#cidrs.release(cidr);
    if (identity === undefined) return;
    this.#cidrIdentities.delete(identity);
    for (const rule of this.#byBlocks.around(cidr)) this.#removePeer(rule, identity, undefined);
  }
}
