import type { Ipv4 } from "../../shared/net/mod.ts";
import type { LabelSet, NamedPort } from "./objects/types.ts";

/** A pod's interface that the compiler knows, on this node or another. Keyed by its address. */
export interface PolicyEndpoint {
  /** The pod's namespace. */
  readonly namespace: string;
  /** The pod's name; for messages only. */
  readonly name: string;
  /** The identity that the agent allocated for namespace, labels and named ports. */
  readonly identity: number;
  /** The labels that the identity was allocated for; keys of `novanet.io/` ones are ignored. */
  readonly labels: LabelSet;
  /** The named ports that the identity was allocated for. */
  readonly namedPorts: readonly NamedPort[];
  /** The address; it says which endpoint this is. */
  readonly ip: Ipv4;
}

/** All known endpoints of one identity; policy cannot tell them apart but by their addresses. */
export interface IdentityGroup {
  /** 256 to 2^24 - 1. */
  readonly id: number;
  /** That of all its pods. */
  readonly namespace: string;
  /** Without labels of our own. */
  readonly labels: LabelSet;
  /** Those of each of its pods. */
  readonly namedPorts: readonly NamedPort[];
  /** Addresses as unsigned numbers. */
  readonly addresses: Set<number>;
}

/** Two endpoints have the same identity but not the same labels, namespace or named ports. */
export class IdentityConflictError extends Error {
  override readonly name = "IdentityConflictError";
  /** gRPC INTERNAL: the agent's identities are wrong. */
  readonly rpcCode = 13;

  /** @param endpoint `NAMESPACE/NAME` of the one that was refused. */
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
