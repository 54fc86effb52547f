/** Identities that mean the same on every node (novanet.v1.ReservedIdentity). */
export const IDENTITY = { any: 0, host: 1, world: 2 } as const;

/** CIDR identities start here; pods' identities stay below. */
export const FIRST_CIDR_IDENTITY = 2 ** 24;

/** Rule ids that are not assigned. The compiler's own rules start at `first`. */
export const RULE_ID = { defaultDeny: 1, defaultAllow: 2, node: 3, first: 16 } as const;

/** Names of the fixed rules. */
export const FIXED_RULES: Readonly<Record<number, string>> = {
  [RULE_ID.defaultDeny]: "default-deny",
  [RULE_ID.defaultAllow]: "default-allow",
  [RULE_ID.node]: "node",
};

/** novanet.v1.PolicyAction. */
export const ACTION = { deny: 0, allow: 1, audit: 64 } as const;

/** novanet.v1.PolicyDirection, as far as the compiler uses it. */
export const DIRECTION = { ingress: 1, egress: 2 } as const;

/** The direction of a rule, from the selected pod. */
export type Direction = "ingress" | "egress";

/** One policy entry with the fields of a novanet.v1.PolicyEntry; may be given to create(). */
export interface CompiledEntry {
  /** Ingress: the peer; egress: the selected identity. 0 = any. */
  readonly srcIdentity: number;
  /** Ingress: the selected identity; egress: the peer. 0 = any. */
  readonly dstIdentity: number;
  /** 0 = any. */
  readonly protocol: number;
  /** 0 = any. */
  readonly dstPort: number;
  /** 0: `dstPort` exactly, or any; 1 to 15: so many leading bits of it count. */
  readonly portPrefixLen: number;
  /** ACTION.audit for isolation entries alone. */
  readonly action: typeof ACTION[keyof typeof ACTION];
  readonly direction: 1 | 2;
  /** The selected identity is isolated in the direction; the other key fields are 0. */
  readonly isolation: boolean;
  readonly ruleId: number;
}

/** One CIDR identity with the fields of a novanet.v1.CidrIdentity. */
export interface CompiledCidr {
  /** a<<24 | b<<16 | c<<8 | d. */
  readonly cidrIp: number;
  readonly prefixLen: number;
  readonly identityId: number;
}

/** The complete desired set with the fields of a novanet.v1.SyncPoliciesRequest. */
export interface DesiredPolicy {
  readonly policies: readonly CompiledEntry[];
  readonly cidrIdentities: readonly CompiledCidr[];
  readonly ruleNames: Readonly<Record<number, string>>;
}

/** What changed between two looks at the index. */
export interface PolicyChanges {
  /** New entries, and entries whose action or rule changed. */
  readonly upserted: readonly CompiledEntry[];
  /** Entries that are gone, as they were. */
  readonly removed: readonly CompiledEntry[];
  readonly cidrsAdded: readonly CompiledCidr[];
  readonly cidrsRemoved: readonly CompiledCidr[];
  /** Rules that got a name since; a rule's name never changes. */
  readonly rulesAdded: Readonly<Record<number, string>>;
  readonly rulesRemoved: readonly number[];
  /** Whether all of the above are empty. */
  readonly empty: boolean;
}

/** What the datapath's policy map is keyed by, as text: entries with one key replace each other. */
export function entryKey(entry: CompiledEntry): string {
  const { direction, srcIdentity, dstIdentity, protocol, dstPort, portPrefixLen } = entry;
  const kind = entry.isolation ? "i" : "e";
  return `${kind}${direction} ${srcIdentity} ${dstIdentity} ${protocol} ${dstPort}/${portPrefixLen}`;
}

/** The node reaches its pods and they reach it (probes, kubelet), as Kubernetes requires. */
export const NODE_ENTRIES: readonly CompiledEntry[] = [
  nodeEntry(IDENTITY.host, IDENTITY.any, DIRECTION.ingress),
  nodeEntry(IDENTITY.any, IDENTITY.host, DIRECTION.egress),
];

function nodeEntry(srcIdentity: number, dstIdentity: number, direction: 1 | 2): CompiledEntry {
  return Object.freeze({
    srcIdentity,
    dstIdentity,
    protocol: 0,
    dstPort: 0,
    portPrefixLen: 0,
    action: ACTION.allow,
    direction,
    isolation: false,
    ruleId: RULE_ID.node,
  });
}
