/**
 * Policy: from Kubernetes objects to the dataplane's policy entries.
 *
 * How the agent uses it:
 *
 * 1. Keep a `ManifestSource` on `manifests_dir`. It calls back with a `ManifestSnapshot`: the objects
 *    in force, the files' errors and warnings (`formatProblem` gives the line for status and log) and
 *    `missing`, the files that have never been valid (their objects are absent).
 * 2. Keep one `PolicyIndex` for the process, with `StableIds` for rule ids (from `RULE_ID.first`) and
 *    CIDR identities (from `FIRST_CIDR_IDENTITY`); store assignments through `onAssigned` and give them
 *    back as `known` at the next start.
 * 3. A pod's identity is allocated for: its labels (from `snapshot.pods`, else from AddPod), less
 *    those that the filter leaves out and no selector names (`SelectorKeys`), plus
 *    `novanet.io/namespace`, plus `PORTS_LABEL` = `namedPortsLabel(pod.namedPorts)` when not undefined.
 *    Pods with hostNetwork get no endpoint.
 * 4. On AddPod and DelPod: `index.upsertEndpoint(...)`, `index.removeEndpoint(ip)`. When a pod's labels
 *    change: allocate its new identity, upsert. On a snapshot: `index.applySnapshot(snapshot)`, and
 *    `diffObjects(previous, snapshot).pods` says which pods to look at again.
 * 5. Then send `index.takeChanges()` as PatchPolicies to a dataplane that has all before it; send
 *    `index.desired()` as SyncPolicies (its fields are the request's) to one that has anything else.
 *    Changes are net, so one call after a burst of changes is enough.
 *
 * `PolicyEvaluator` answers what the datapath would decide, from the same set; `index.explain(identity)`
 * says which policy, rule, file and line each allowed combination comes from.
 */
export { compile, memoryIds } from "./compile.ts";
export {
  ACTION,
  type CompiledCidr,
  type CompiledEntry,
  type DesiredPolicy,
  DIRECTION,
  type Direction,
  entryKey,
  FIRST_CIDR_IDENTITY,
  FIXED_RULES,
  IDENTITY,
  type PolicyChanges,
  RULE_ID,
} from "./entries.ts";
export type {
  AllowExplanation,
  DirectionExplanation,
  IdentityExplanation,
  PolicyOrigin,
  RuleOrigin,
} from "./explain.ts";
export { type Decision, type EvaluatedEnd, PolicyEvaluator } from "./evaluate.ts";
export { isolationName } from "./isolation.ts";
export { IdentityConflictError, type PolicyEndpoint } from "./identity_group.ts";
export {
  NamedPortsError,
  namedPortsLabel,
  parseNamedPortsLabel,
  PORTS_LABEL,
} from "./named_ports.ts";
export { type ManifestFile, parseManifest } from "./objects/manifest.ts";
export { formatProblem, type ManifestProblem } from "./objects/problem.ts";
export {
  type LabelSet,
  labelSet,
  type ManifestObject,
  type NamedPort,
  type NamespaceObject,
  type NetworkPolicyObject,
  type ObjectSource,
  type PodObject,
  type PolicyMode,
  type PolicyPort,
} from "./objects/types.ts";
export { type PolicyIds, PolicyIndex } from "./policy_index.ts";
export { SelectorKeys } from "./selector_keys.ts";
export { diffObjects, type ObjectDiff, type ObjectsDiff, type PolicyObjects } from "./snapshot.ts";
export { ProblemLog, type ProblemSink } from "./problem_log.ts";
export { type IdAllocator, IdsExhaustedError, StableIds } from "./stable_ids.ts";
export { type LastGoodTexts, type ManifestSnapshot, ManifestStore } from "./manifest_store.ts";
export { ManifestSource, type ManifestSourceOptions } from "./folder/manifest_source.ts";
