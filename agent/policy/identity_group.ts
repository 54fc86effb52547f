import type { Ipv4 } from "../../shared/net/mod.ts";
import type { LabelSet, NamedPort } from "./objects/types.ts";

/** A pod's interface that the compiler knows, on this node or another. Keyed by its address. */
export interface PolicyEndpoint {
  readonly namespace: string;
  readonly name: string;
  /** The identity that the agent allocated for namespace, labels and named ports. */
  readonly identity: number;
  /** The labels that the identity was allocated for; keys of `novanet.io/` ones are ignored. */
  readonly labels: LabelSet;
  readonly namedPorts: readonly NamedPort[];
  readonly ip: Ipv4;
}

/** All known endpoints of one identity; policy cannot tell them apart but by their addresses. */
export interface IdentityGroup {
  readonly id: number;
  readonly namespace: string;
  readonly labels: LabelSet;
  readonly namedPorts: readonly NamedPort[];
  /** Addresses as unsigned numbers. */
  readonly addresses: Set<number>;
}

/** Two endpoints have the same identity but not the same labels, namespace or named ports. */
export class IdentityConflictError extends Error {
  override readonly name = "IdentityConflictError";
  /** gRPC INTERNAL: the agent's identities are wrong. */
  readonly rpcCode = 13;

  constructor(readonly identity: number, readonly endpoint: string) {
    super(`Cannot add endpoint ${endpoint}: identity ${identity} stands for other labels`);
  }
}

/** Labels of ours that stand in an identity's label set but that no Kubernetes object carries. */
const OWN_LABELS = ["novanet.io/namespace", "novanet.io/ports"];

/** @returns a group without addresses for an endpoint's identity. */
export function newGroup(endpoint: PolicyEndpoint): IdentityGroup {
  const labels = new Map(endpoint.labels);
  for (const key of OWN_LABELS) labels.delete(key);
  return {
    id: endpoint.identity,
    namespace: endpoint.namespace,
    labels,
    namedPorts: endpoint.namedPorts,
    addresses: new Set(),
  };
}

/** @throws {IdentityConflictError} when the endpoint is not one of the group's kind. */
export function checkMember(group: IdentityGroup, endpoint: PolicyEndpoint): void {
  const other = newGroup(endpoint);
  const same = other.namespace === group.namespace &&
    signature(other) === signature(group);
  if (!same) {
    throw new IdentityConflictError(group.id, `${endpoint.namespace}/${endpoint.name}`);
  }
}

function signature(group: IdentityGroup): string {
  const ports = group.namedPorts.map(({ name, protocol, port }) => `${name}:${protocol}/${port}`);
  return JSON.stringify([[...group.labels].sort(), ports.sort()]);
}
