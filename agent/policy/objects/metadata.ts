import type { Fields } from "./fields.ts";
import { dnsLabelFault, dnsSubdomainFault, labelKeyFault, labelValueFault } from "./syntax.ts";
import type { LabelSet } from "./types.ts";

const DEFAULT_NAMESPACE = "default";

/** Every field of ObjectMeta: a misspelt namespace or label would put an object out of reach. */
const KNOWN = [
  "name",
  "generateName",
  "namespace",
  "labels",
  "annotations",
  "uid",
  "resourceVersion",
  "generation",
  "selfLink",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "ownerReferences",
  "finalizers",
  "managedFields",
];

/** The parts of ObjectMeta that NovaNet uses. */
export interface Metadata {
  readonly name: string;
  /** Empty for objects that have none. */
  readonly namespace: string;
  readonly labels: LabelSet;
  readonly annotations: ReadonlyMap<string, string>;
}

/**
 * Reads `metadata`.
 * @param scope whether the kind lives in a namespace; then an absent one is `default`.
 * @returns undefined when name or namespace are wrong; the faults are in the fields' problems.
 */
export function readMetadata(
  object: Fields,
  scope: "namespaced" | "cluster",
): Metadata | undefined {
  const metadata = object.map("metadata");
  if (metadata === undefined) {
    if (!object.has("metadata") || object.isNull("metadata")) {
      object.error("metadata", undefined, "required: it holds the object's name");
    }
    return undefined;
  }
  metadata.refuseUnknown(KNOWN);
  const name = readName(metadata, scope);
  const namespace = readNamespace(metadata, scope);
  const labels = readLabels(metadata, "labels");
  const annotations = new Map<string, string>();
  for (const [key, { value }] of metadata.stringMap("annotations")) annotations.set(key, value);
  if (name === undefined || namespace === undefined) return undefined;
  return { name, namespace, labels, annotations };
}

/** Reads a mapping of labels and checks keys and values. */
export function readLabels(parent: Fields, field: string): Map<string, string> {
  const labels = new Map<string, string>();
  for (const [key, { value, line, path }] of parent.stringMap(field)) {
    const keyFault = labelKeyFault(key);
    const valueFault = labelValueFault(value);
    if (keyFault !== undefined) parent.problems.error(line, path, key, keyFault);
    if (valueFault !== undefined) parent.problems.error(line, path, value, valueFault);
    labels.set(key, value);
  }
  return labels;
}

function readName(metadata: Fields, scope: "namespaced" | "cluster"): string | undefined {
  const name = metadata.string("name");
  if (name === undefined) {
    if (!metadata.has("name") || metadata.isNull("name")) {
      metadata.error("name", undefined, "required");
    }
    return undefined;
  }
  const fault = scope === "cluster" ? dnsLabelFault(name) : dnsSubdomainFault(name);
  if (fault === undefined) return name;
  metadata.error("name", name, fault);
  return undefined;
}

function readNamespace(metadata: Fields, scope: "namespaced" | "cluster"): string | undefined {
  const namespace = metadata.string("namespace");
  if (scope === "cluster") {
    if (namespace === undefined || namespace === "") return "";
    metadata.error("namespace", namespace, "this kind of object is in no namespace");
    return undefined;
  }
  if (namespace === undefined) {
    // A value of another type is reported by then; it must not become the default silently.
    return metadata.has("namespace") && !metadata.isNull("namespace")
      ? undefined
      : DEFAULT_NAMESPACE;
  }
  if (namespace === "") return DEFAULT_NAMESPACE;
  const fault = dnsLabelFault(namespace);
  if (fault === undefined) return namespace;
  metadata.error("namespace", namespace, fault);
  return undefined;
}
