import type { Ipv4 } from "../../shared/net/mod.ts";
import {
  checkMember,
  type IdentityGroup,
  newGroup,
  type PolicyEndpoint,
} from "./identity_group.ts";
import { namespaceLabels } from "./objects/namespace.ts";
import type { LabelSet } from "./objects/types.ts";

/** The known endpoints by address, their identities, and the labels of namespaces. */
export class IdentityTable {
  readonly #endpoints = new Map<number, PolicyEndpoint>();
  readonly #groups = new Map<number, IdentityGroup>();
  readonly #byNamespace = new Map<string, Set<IdentityGroup>>();
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
      const inNamespace = this.#byNamespace.get(group.namespace);
      if (inNamespace === undefined) this.#byNamespace.set(group.namespace, new Set([group]));
      else inNamespace.add(group);
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
    const inNamespace = this.#byNamespace.get(group.namespace);
    inNamespace?.delete(group);
    if (inNamespace?.size === 0) this.#byNamespace.delete(group.namespace);
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
}
