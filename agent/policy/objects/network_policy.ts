import type { Fields } from "./fields.ts";
import { readIpBlock } from "./ip_block.ts";
import { readLabelSelector } from "./label_selector.ts";
import { type Metadata, readMetadata } from "./metadata.ts";
import { readPolicyPort } from "./ports.ts";
import type {
  LabelSelector,
  NetworkPolicyObject,
  ObjectSource,
  PolicyMode,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
} from "./types.ts";

const MODE_ANNOTATION = "novanet.io/mode";
const OWN_PREFIX = "novanet.io/";
const POLICY_TYPES = ["Ingress", "Egress"];

/**
 * Reads and checks a networking.k8s.io/v1 NetworkPolicy as the API server does; beyond it, unknown
 * fields are errors and so are null rules, ports and peers.
 * @returns undefined when it has no usable name; with any error the caller discards the file.
 */
export function readNetworkPolicy(
  object: Fields,
  source: ObjectSource,
): NetworkPolicyObject | undefined {
  object.refuseUnknown(["apiVersion", "kind", "metadata", "spec", "status"]);
  const metadata = readMetadata(object, "namespaced");
  const mode = readMode(object, metadata);
  const spec = object.map("spec");
  if (spec === undefined) {
    const reason = "absent: the policy denies all ingress to every pod of its namespace";
    object.warn("spec", undefined, reason);
  }
  spec?.refuseUnknown(["podSelector", "policyTypes", "ingress", "egress"]);
  const podSelector = readPodSelector(spec);
  const ingress = readRules(spec, "ingress", "from");
  const egress = readRules(spec, "egress", "to");
  const isolates = readPolicyTypes(spec, ingress, egress);
  if (metadata === undefined) return undefined;
  const { namespace, name } = metadata;
  return {
    kind: "NetworkPolicy",
    namespace,
    name,
    source,
    mode,
    podSelector,
    isolates,
    ingress,
    egress,
  };
}

/**
 * A misspelt key or mode, or a label in the annotation's place, is an error: enforcing what is to be audited would drop
 * what its author wants to see.
 */
function readMode(object: Fields, metadata: Metadata | undefined): PolicyMode {
  const refuse = (field: "annotations" | "labels", key: string, value: string, reason: string) => {
    const line = object.map("metadata")?.map(field)?.lineOf(key) ?? object.line;
    object.problems.error(line, `${object.at("metadata")}.${field}[${key}]`, value, reason);
  };
  for (const [key, value] of metadata?.annotations ?? []) {
    if (key === MODE_ANNOTATION || !isOwn(key)) continue;
    refuse("annotations", key, value, `unknown; did you mean ${MODE_ANNOTATION}?`);
  }
  for (const [key, value] of metadata?.labels ?? []) {
    if (!isOwn(key)) continue;
    const reason = `no label of a policy; did you mean the annotation ${MODE_ANNOTATION}?`;
    refuse("labels", key, value, reason);
  }
  const mode = metadata?.annotations.get(MODE_ANNOTATION) ?? "enforce";
  if (mode === "enforce" || mode === "audit") return mode;
  refuse("annotations", MODE_ANNOTATION, mode, 'expected "audit" or "enforce"');
  return "enforce";
}

/** Whether a key is NovaNet's; no other writes them in another case. */
function isOwn(key: string): boolean {
  return key.toLowerCase().startsWith(OWN_PREFIX);
}

function readPodSelector(spec: Fields | undefined): LabelSelector {
  const selector = spec?.map("podSelector");
  if (selector !== undefined) return readLabelSelector(selector);
  spec?.warn("podSelector", undefined, "absent: it selects every pod of the namespace");
  return { requirements: [] };
}

/** @see SetDefaults_NetworkPolicy of the API server: an empty egress list counts as none. */
function readPolicyTypes(
  spec: Fields | undefined,
  ingress: readonly PolicyRule[],
  egress: readonly PolicyRule[],
): { ingress: boolean; egress: boolean } {
  const types = spec?.strings("policyTypes") ?? [];
  for (const { value, line, path } of types) {
    if (!POLICY_TYPES.includes(value)) {
      spec?.problems.error(line, path, value, "expected Ingress or Egress");
    }
  }
  if (types.length > POLICY_TYPES.length) {
    spec?.error("policyTypes", undefined, "at most two: Ingress and Egress");
  }
  if (types.length === 0) {
    if (spec?.has("egress") && egress.length === 0) {
      const reason = "empty and without policyTypes it isolates nothing; add policyTypes: [Egress]";
      spec.warn("egress", undefined, reason);
    }
    return { ingress: true, egress: egress.length > 0 };
  }
  const isolates = {
    ingress: types.some(({ value }) => value === "Ingress"),
    egress: types.some(({ value }) => value === "Egress"),
  };
  if (ingress.length > 0 && !isolates.ingress) warnUnused(spec, "ingress");
  if (egress.length > 0 && !isolates.egress) warnUnused(spec, "egress");
  return isolates;
}

function warnUnused(spec: Fields | undefined, field: string): void {
  spec?.warn(field, undefined, "without effect: policyTypes does not name the direction");
}

function readRules(
  spec: Fields | undefined,
  field: "ingress" | "egress",
  peersField: "from" | "to",
): PolicyRule[] {
  return (spec?.maps(field) ?? []).map((rule) => readRule(rule, peersField));
}

function readRule(rule: Fields, peersField: "from" | "to"): PolicyRule {
  rule.refuseUnknown([peersField, "ports"]);
  for (const field of [peersField, "ports"]) {
    if (rule.isNull(field)) rule.warn(field, null, "nothing is written here: it means all");
  }
  const peers: PolicyPeer[] = [];
  for (const item of rule.maps(peersField) ?? []) {
    const peer = readPeer(item);
    if (peer !== undefined) peers.push(peer);
  }
  const ports: PolicyPort[] = [];
  for (const item of rule.maps("ports") ?? []) {
    const port = readPolicyPort(item);
    if (port !== undefined) ports.push(port);
  }
  return { line: rule.line, peers, ports };
}

function readPeer(peer: Fields): PolicyPeer | undefined {
  const before = peer.problems.errors.length;
  peer.refuseUnknown(["podSelector", "namespaceSelector", "ipBlock"]);
  const pods = peer.map("podSelector");
  const namespaces = peer.map("namespaceSelector");
  const block = peer.map("ipBlock");
  const podSelector = pods === undefined ? undefined : readLabelSelector(pods);
  const namespaceSelector = namespaces === undefined ? undefined : readLabelSelector(namespaces);
  const blockPeer = block === undefined ? undefined : readIpBlock(block);
  if (block !== undefined && (pods !== undefined || namespaces !== undefined)) {
    peer.error("ipBlock", undefined, "not allowed beside podSelector or namespaceSelector");
    return undefined;
  }
  if (block !== undefined) return blockPeer;
  if (pods === undefined && namespaces === undefined) {
    if (peer.problems.errors.length > before) return undefined;
    const reason = "a peer needs podSelector, namespaceSelector or ipBlock";
    peer.problems.error(peer.line, peer.path, undefined, reason);
    return undefined;
  }
  return { kind: "pods", podSelector, namespaceSelector };
}
