import { TrackedMap } from "./change_tracker.ts";
import type {
  ManifestObject,
  NamespaceObject,
  NetworkPolicyObject,
  PodObject,
} from "./objects/types.ts";
import {
  fingerprint,
  type ObjectDiff,
  objectName,
  type ObjectsDiff,
  type PolicyObjects,
} from "./snapshot.ts";

/** The objects in force, and pictures of them that know what differs from the one before. */
export class ObjectTable {
  readonly #pods = new TrackedMap<string, PodObject>();
  readonly #namespaces = new TrackedMap<string, NamespaceObject>();
  readonly #policies = new TrackedMap<string, NetworkPolicyObject>();
  #last: PolicyObjects = { pods: new Map(), namespaces: new Map(), policies: new Map() };

  put(object: ManifestObject): void {
    if (object.kind === "Pod") this.#pods.set(objectName(object), object);
    else if (object.kind === "Namespace") this.#namespaces.set(objectName(object), object);
    else this.#policies.set(objectName(object), object);
  }

  /** Takes an object away, unless another one has taken its place. */
  remove(object: ManifestObject): void {
    const table = object.kind === "Pod"
      ? this.#pods
      : object.kind === "Namespace"
      ? this.#namespaces
      : this.#policies;
    const name = objectName(object);
    if (table.current.get(name) === object) table.delete(name);
  }

  /** What is in force now; it does not change any more. */
  picture(): PolicyObjects {
    const diff: ObjectsDiff = {
      pods: take(this.#pods),
      namespaces: take(this.#namespaces),
      policies: take(this.#policies),
    };
    const { pods, namespaces, policies, lineage } = this.#last;
    if (lineage !== undefined && Object.values(diff).every(isEmpty)) return this.#last;
    this.#last = {
      pods: isEmpty(diff.pods) ? pods : new Map(this.#pods.current),
      namespaces: isEmpty(diff.namespaces) ? namespaces : new Map(this.#namespaces.current),
      policies: isEmpty(diff.policies) ? policies : new Map(this.#policies.current),
      lineage: { version: Symbol(), previous: lineage?.version, diff },
    };
    return this.#last;
  }
}

function take<T extends ManifestObject>(table: TrackedMap<string, T>): ObjectDiff<T> {
  const { upserted, removed } = table.take((a, b) => a === b || fingerprint(a) === fingerprint(b));
  return {
    upserted: upserted.map(([, object]) => object),
    removed: removed.map(([, object]) => object),
  };
}

function isEmpty({ upserted, removed }: ObjectDiff<ManifestObject>): boolean {
  return upserted.length + removed.length === 0;
}
