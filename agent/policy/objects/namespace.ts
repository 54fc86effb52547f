import type { Fields } from "./fields.ts";
import { readMetadata } from "./metadata.ts";
import type { LabelSet, NamespaceObject, ObjectSource } from "./types.ts";

/** The label that every namespace has, with its name for value. */
export const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name";

/** Reads what NovaNet uses of a v1 Namespace. */
export function readNamespace(
  object: Fields,
  source: ObjectSource,
): NamespaceObject | undefined {
  const metadata = readMetadata(object, "cluster");
  if (metadata === undefined) return undefined;
  const written = metadata.labels.get(NAMESPACE_NAME_LABEL);
  if (written !== undefined && written !== metadata.name) {
    const reason = `it is always the namespace's name, ${metadata.name}`;
    object.warn("metadata", written, `label ${NAMESPACE_NAME_LABEL}: ${reason}`);
  }
  return {
    kind: "Namespace",
    name: metadata.name,
    source,
    labels: namespaceLabels(metadata.name, metadata.labels),
  };
}

/** @returns the labels of a namespace, with the one that the API server sets. */
export function namespaceLabels(name: string, labels: LabelSet = new Map()): LabelSet {
  return new Map([...labels, [NAMESPACE_NAME_LABEL, name]]);
}
