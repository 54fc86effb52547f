import type { Cidr } from "../../../shared/net/mod.ts";

/** Labels by key. A Map, because `constructor` is a valid label key and a plain object has one. */
export type LabelSet = ReadonlyMap<string, string>;

/** IP protocol numbers that Kubernetes ports have: TCP, UDP, SCTP. */
export type PortProtocol = 6 | 17 | 132;

/** Where an object was read. */
export interface ObjectSource {
  readonly file: string;
  /** Line of the object's first field, from 1. */
  readonly line: number;
}

/** A container port that has a name. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  /** 1 to 65535. */
  readonly port: number;
}

/** What NovaNet uses of a v1 Pod. */
export interface PodObject {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  readonly source: ObjectSource;
  readonly labels: LabelSet;
  /** A pod in the host's network is no endpoint: no selector matches it. */
  readonly hostNetwork: boolean;
  /** The containers' named ports (those of sidecars too), in canonical order, without repeats. */
  readonly namedPorts: readonly NamedPort[];
}

/** What NovaNet uses of a v1 Namespace. */
export interface NamespaceObject {
  readonly kind: "Namespace";
  readonly name: string;
  readonly source: ObjectSource;
  /** `kubernetes.io/metadata.name` included. */
  readonly labels: LabelSet;
}

/** One requirement of a label selector; matchLabels become `In` with one value. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  /** Empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

/** A label selector: all requirements hold; none at all selects everything. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
}

/** Pods by labels. Without a namespace selector: those of the policy's own namespace. */
export interface PodPeer {
  readonly kind: "pods";
  /** Absent: every pod of the selected namespaces. */
  readonly podSelector: LabelSelector | undefined;
  readonly namespaceSelector: LabelSelector | undefined;
}

/** Addresses. */
export interface BlockPeer {
  readonly kind: "block";
  readonly cidr: Cidr;
  /** Each strictly inside `cidr`. */
  readonly except: readonly Cidr[];
}

/** An IPv6 block: valid, and matches nothing while NovaNet carries IPv4 only. */
export interface Ipv6Peer {
  readonly kind: "ipv6";
  readonly cidr: string;
}

/** One element of `from` or `to`. */
export type PolicyPeer = PodPeer | BlockPeer | Ipv6Peer;

/** One element of `ports`. */
export interface PolicyPort {
  readonly protocol: PortProtocol;
  /** All ports of the protocol, a range (one port: from = to), or a name. */
  readonly match:
    | { readonly kind: "all" }
    | { readonly kind: "range"; readonly from: number; readonly to: number }
    | { readonly kind: "named"; readonly name: string };
}

/** One element of `ingress` or `egress`. */
export interface PolicyRule {
  /** Line in the object's file, from 1. */
  readonly line: number;
  /** Empty: anyone. */
  readonly peers: readonly PolicyPeer[];
  /** Empty: every protocol and port. */
  readonly ports: readonly PolicyPort[];
}

/** What the annotation `novanet.io/mode` says; without it, `enforce`. */
export type PolicyMode = "enforce" | "audit";

/** A networking.k8s.io/v1 NetworkPolicy with its defaults filled in. */
export interface NetworkPolicyObject {
  readonly kind: "NetworkPolicy";
  readonly namespace: string;
  readonly name: string;
  readonly source: ObjectSource;
  /** Whether it drops packets, or only tells which it would drop. */
  readonly mode: PolicyMode;
  readonly podSelector: LabelSelector;
  /** Whether the policy isolates in the direction, by policyTypes or its default. */
  readonly isolates: { readonly ingress: boolean; readonly egress: boolean };
  /** As written; without effect in a direction that the policy does not isolate. */
  readonly ingress: readonly PolicyRule[];
  readonly egress: readonly PolicyRule[];
}

/** An object that NovaNet uses. */
export type ManifestObject = PodObject | NamespaceObject | NetworkPolicyObject;

/** @returns `Kind namespace/name`, or `Namespace name`: what makes an object the same object. */
export function objectKey(object: ManifestObject): string {
  return object.kind === "Namespace"
    ? `Namespace ${object.name}`
    : `${object.kind} ${object.namespace}/${object.name}`;
}

/** @returns the labels of a plain record, as protobuf maps and JSON have them. */
export function labelSet(record: Readonly<Record<string, string>>): LabelSet {
  return new Map(Object.entries(record));
}
