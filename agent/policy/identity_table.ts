import type { Ipv4 } from "../../shared/net/mod.ts";
import {
  checkMember,
  type IdentityGroup,
  newGroup,
  type PolicyEndpoint,
} from "./identity_group.ts";
import { namespaceLabels } from "./objects/namespace.ts";
import type { LabelSelector, LabelSet } from "./objects/types.ts";
import { selects } from "./selector.ts";
import { anchorsOf, labelText } from "./selector_index.ts";

/** The known endpoints by address, their identities, and the labels of namespaces. */
export class IdentityTable {
  readonly #endpoints = new Map<number, PolicyEndpoint>();
  readonly #groups = new Map<number, IdentityGroup>();
  readonly #byNamespace = new Map<string, Set<IdentityGroup>>();
  /** Identities by `key=value`. */
  readonly #byLabel = new Map<string, Set<IdentityGroup>>();
  readonly #namespaces = new Map<string, LabelSet>();

  /** Sets a namespace's labels; undefined when it has no object. */
  setNamespace(name: string, labels: LabelSet | undefined): void {
    if (labels === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, namespaceLabels(name, labels));
  }

  /** The labels of a namespace, with or without an object. */
  namespaceLabels(name: string): LabelSet {
    return this.#namespaces.get(name) ?? namespaceLabels(name);
  }

  /** @throws {IdentityConflictError} when the endpoint's identity is known with other labels. */
  check(endpoint: PolicyEndpoint): void {
    const group = this.#groups.get(endpoint.identity);
    if (group !== undefined) checkMember(group, endpoint);
  }

  /** Adds a checked endpoint at an address that is free, or replaces one of the same identity. */
  put(endpoint: PolicyEndpoint): { group: IdentityGroup; isNew: boolean } {
    const known = this.#groups.get(endpoint.identity);
    const group = known ?? newGroup(endpoint);
    if (known === undefined) {
      this.#groups.set(group.id, group);
      addTo(this.#byNamespace, group.namespace, group);
      for (const [key, value] of group.labels) addTo(this.#byLabel, labelText(key, value), group);
    }
    group.addresses.add(endpoint.ip.toU32());
    this.#endpoints.set(endpoint.ip.toU32(), endpoint);
    return { group, isNew: known === undefined };
  }

  /** Removes the endpoint of an address from its group. */
  remove(ip: Ipv4): void {
    const group = this.groupOf(ip);
    this.#endpoints.delete(ip.toU32());
    group?.addresses.delete(ip.toU32());
  }

  /** Forgets an identity that has no endpoint any more. */
  forget(group: IdentityGroup): void {
    this.#groups.delete(group.id);
    takeFrom(this.#byNamespace, group.namespace, group);
    for (const [key, value] of group.labels) takeFrom(this.#byLabel, labelText(key, value), group);
  }

  endpoint(ip: Ipv4): PolicyEndpoint | undefined {
    return this.#endpoints.get(ip.toU32());
  }

  endpoints(): Iterable<PolicyEndpoint> {
    return this.#endpoints.values();
  }

  group(id: number): IdentityGroup | undefined {
    return this.#groups.get(id);
  }

  groupOf(ip: Ipv4): IdentityGroup | undefined {
    const endpoint = this.endpoint(ip);
    return endpoint === undefined ? undefined : this.#groups.get(endpoint.identity);
  }

  /** All identities, or those of one namespace. */
  groups(namespace?: string): Iterable<IdentityGroup> {
    return namespace === undefined ? this.#groups.values() : this.#byNamespace.get(namespace) ?? [];
  }

  /** The identities of a namespace that a selector selects. */
  *selected(namespace: string, selector: LabelSelector | undefined): Generator<IdentityGroup> {
    const all = this.#byNamespace.get(namespace);
    if (all === undefined) return;
    for (const group of this.#anchored(selector, all.size) ?? all) {
      if (group.namespace !== namespace) continue;
      if (selector === undefined || selects(selector, group.labels)) yield group;
    }
  }

  /** The identities that both selectors select, in any namespace. */
  *selectedAnywhere(
    namespaceSelector: LabelSelector,
    selector: LabelSelector | undefined,
  ): Generator<IdentityGroup> {
    const anchored = this.#anchored(selector, this.#groups.size);
    if (anchored === undefined || selector === undefined) {
      for (const namespace of this.#byNamespace.keys()) {
        if (!selects(namespaceSelector, this.namespaceLabels(namespace))) continue;
        yield* this.selected(namespace, selector);
      }
      return;
    }
    for (const group of anchored) {
      if (!selects(selector, group.labels)) continue;
      if (selects(namespaceSelector, this.namespaceLabels(group.namespace))) yield group;
    }
  }

  /** The identities with one of a selector's anchors; undefined when there are none or too many. */
  #anchored(selector: LabelSelector | undefined, most: number): IdentityGroup[] | undefined {
    const sets = anchorsOf(selector)?.map((anchor) => this.#byLabel.get(anchor));
    if (sets === undefined) return undefined;
    const count = sets.reduce((sum, set) => sum + (set?.size ?? 0), 0);
    return count > most ? undefined : sets.flatMap((set) => [...set ?? []]);
  }
}

function addTo(table: Map<string, Set<IdentityGroup>>, key: string, group: IdentityGroup): void {
  const groups = table.get(key);
  if (groups === undefined) table.set(key, new Set([group]));
  else groups.add(group);
}

function takeFrom(table: Map<string, Set<IdentityGroup>>, key: string, group: IdentityGroup): void {
  const groups = table.get(key);
  if (groups?.delete(group) && groups.size === 0) table.delete(key);
}
