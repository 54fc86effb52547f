import {
  type ManifestObject,
  type NamespaceObject,
  type NetworkPolicyObject,
  objectKey,
  type PodObject,
} from "./objects/types.ts";

/** The objects in force, each by `namespace/name` (namespaces by name). Immutable. */
export interface PolicyObjects {
  readonly pods: ReadonlyMap<string, PodObject>;
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  readonly policies: ReadonlyMap<string, NetworkPolicyObject>;
  /** Absent where nobody kept count. */
  readonly lineage?: SnapshotLineage;
}

/** From which objects others came, and by what changes. */
export interface SnapshotLineage {
  /** Different objects have different ones. */
  readonly version: symbol;
  /** The version before; undefined: there was nothing. */
  readonly previous: symbol | undefined;
  /** What differs between the two. */
  readonly diff: ObjectsDiff;
}

/** What differs between two sets of objects of one kind. */
export interface ObjectDiff<T> {
  /** New, or different from before. */
  readonly upserted: readonly T[];
  /** Gone, as they were. */
  readonly removed: readonly T[];
}

/** What differs between two snapshots. */
export interface ObjectsDiff {
  readonly pods: ObjectDiff<PodObject>;
  readonly namespaces: ObjectDiff<NamespaceObject>;
  readonly policies: ObjectDiff<NetworkPolicyObject>;
}

const NO_DIFFERENCE: ObjectsDiff = {
  pods: { upserted: [], removed: [] },
  namespaces: { upserted: [], removed: [] },
  policies: { upserted: [], removed: [] },
};

/** @returns the objects by kind and name; of repeats the last one counts. */
export function groupObjects(objects: Iterable<ManifestObject>): PolicyObjects {
  const pods = new Map<string, PodObject>();
  const namespaces = new Map<string, NamespaceObject>();
  const policies = new Map<string, NetworkPolicyObject>();
  for (const object of objects) {
    if (object.kind === "Namespace") namespaces.set(objectName(object), object);
    else if (object.kind === "Pod") pods.set(objectName(object), object);
    else policies.set(objectName(object), object);
  }
  return { pods, namespaces, policies };
}

/** @returns `namespace/name`, or a namespace's name: what an object is kept by among its kind. */
export function objectName(object: ManifestObject): string {
  return object.kind === "Namespace" ? object.name : `${object.namespace}/${object.name}`;
}

/**
 * What differs between two snapshots: at once when the one came from the other. Objects that a source
 * did not read again are the same references, which makes this cheap; an object that only moved in
 * its file counts as different, since what is explained by it names the line.
 * @param before undefined when there is none.
 */
export function diffObjects(before: PolicyObjects | undefined, now: PolicyObjects): ObjectsDiff {
  const { lineage } = now;
  if (lineage !== undefined) {
    if (before?.lineage?.version === lineage.version) return NO_DIFFERENCE;
    if (before?.lineage?.version === lineage.previous) return lineage.diff;
  }
  return {
    pods: diffKind(before?.pods, now.pods),
    namespaces: diffKind(before?.namespaces, now.namespaces),
    policies: diffKind(before?.policies, now.policies),
  };
}

/** @returns the object's contents as text, its place in the file included. */
export function fingerprint(object: ManifestObject): string {
  return JSON.stringify(
    [objectKey(object), object],
    (_key, value: unknown) => value instanceof Map ? [...value].sort() : value,
  );
}

function diffKind<T extends ManifestObject>(
  before: ReadonlyMap<string, T> | undefined,
  now: ReadonlyMap<string, T>,
): ObjectDiff<T> {
  const upserted: T[] = [];
  const removed: T[] = [];
  for (const [key, object] of now) {
    const old = before?.get(key);
    if (old === object) continue;
    if (old === undefined || fingerprint(old) !== fingerprint(object)) upserted.push(object);
  }
  for (const [key, object] of before ?? []) {
    if (!now.has(key)) removed.push(object);
  }
  return { upserted, removed };
}
