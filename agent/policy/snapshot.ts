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

/** @returns the objects by kind and name; of repeats the last one counts. */
export function groupObjects(objects: Iterable<ManifestObject>): PolicyObjects {
  const pods = new Map<string, PodObject>();
  const namespaces = new Map<string, NamespaceObject>();
  const policies = new Map<string, NetworkPolicyObject>();
  for (const object of objects) {
    if (object.kind === "Namespace") namespaces.set(object.name, object);
    else if (object.kind === "Pod") pods.set(`${object.namespace}/${object.name}`, object);
    else policies.set(`${object.namespace}/${object.name}`, object);
  }
  return { pods, namespaces, policies };
}

/** @returns the same objects but for those that go and, after them, those that come; kinds without any stay as they are. */
export function replaceObjects(
  { pods, namespaces, policies }: PolicyObjects,
  gone: Iterable<ManifestObject>,
  come: Iterable<ManifestObject>,
): PolicyObjects {
  const before = groupObjects(gone);
  const now = groupObjects(come);
  return {
    pods: replaceKind(pods, before.pods, now.pods),
    namespaces: replaceKind(namespaces, before.namespaces, now.namespaces),
    policies: replaceKind(policies, before.policies, now.policies),
  };
}

/**
 * What differs between two snapshots. Objects that a source did not read again are the same
 * references, which makes this cheap; an object that only moved in its file counts as different,
 * since what is explained by it names the line.
 * @param before undefined when there is none.
 */
export function diffObjects(before: PolicyObjects | undefined, now: PolicyObjects): ObjectsDiff {
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

function replaceKind<T>(
  all: ReadonlyMap<string, T>,
  gone: ReadonlyMap<string, T>,
  come: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  if (gone.size + come.size === 0) return all;
  const objects = new Map(all);
  for (const key of gone.keys()) if (!come.has(key)) objects.delete(key);
  for (const [key, object] of come) objects.set(key, object);
  return objects;
}

function diffKind<T extends ManifestObject>(
  before: ReadonlyMap<string, T> | undefined,
  now: ReadonlyMap<string, T>,
): ObjectDiff<T> {
  const upserted: T[] = [];
  const removed: T[] = [];
  if (before === now) return { upserted, removed };
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
