import { Fields } from "./fields.ts";
import {
  DEFAULT_DOCUMENT_LIMITS,
  type Located,
  readDocuments,
  type ReadOptions,
} from "./located.ts";
import { readNamespace } from "./namespace.ts";
import { readNetworkPolicy } from "./network_policy.ts";
import { readPod } from "./pod.ts";
import { type ManifestProblem, ProblemList } from "./problem.ts";
import { type ManifestObject, objectKey, type ObjectSource } from "./types.ts";

type ObjectReader = (object: Fields, source: ObjectSource) => ManifestObject | undefined;

const READERS: ReadonlyMap<string, ObjectReader> = new Map<string, ObjectReader>([
  ["v1 Pod", readPod],
  ["v1 Namespace", readNamespace],
  ["networking.k8s.io/v1 NetworkPolicy", readNetworkPolicy],
]);

/**
 * Groups whose kinds say nothing about NetworkPolicy: they are left out with a warning, so that an
 * application's manifests can be used as they are. Anything else unknown may be a misspelt policy.
 */
const UNUSED_API = /^(apps|batch|autoscaling|rbac\.authorization\.k8s\.io|storage\.k8s\.io)\/v\d+$/;
const UNUSED_CORE_KINDS = new Set([
  "ConfigMap",
  "Endpoints",
  "LimitRange",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "PodTemplate",
  "ReplicationController",
  "ResourceQuota",
  "Secret",
  "Service",
  "ServiceAccount",
]);

/** What one file holds. */
export interface ManifestFile {
  /** Empty when there are errors: a file counts whole or not at all. */
  readonly objects: readonly ManifestObject[];
  readonly errors: readonly ManifestProblem[];
  readonly warnings: readonly ManifestProblem[];
}

/** How {@linkcode parseManifest} reads. */
export type ParseOptions = Partial<ReadOptions>;

/**
 * Parses and checks the Kubernetes objects of one file: Pod, Namespace, NetworkPolicy, and v1 List
 * of them. Pure; never throws for what is in the text.
 * @param file its path, for messages; `.json` means JSON, anything else YAML of any number of
 * documents.
 */
export function parseManifest(
  file: string,
  text: string,
  { limits = DEFAULT_DOCUMENT_LIMITS, firstLine = 1 }: ParseOptions = {},
): ManifestFile {
  const problems = new ProblemList(file);
  const objects: ManifestObject[] = [];
  const json = file.toLowerCase().endsWith(".json");
  const plain = text.replace(/^\ufeff/, "");
  for (const document of readDocuments(plain, json, problems, { limits, firstLine })) {
    readObject(document, "", problems, objects);
  }
  refuseRepeats(objects, problems);
  const errors = byLine(problems.errors);
  const warnings = byLine(problems.warnings);
  return { objects: errors.length > 0 ? [] : objects.map(deepFreeze), errors, warnings };
}

function readObject(
  value: Located,
  path: string,
  problems: ProblemList,
  into: ManifestObject[],
): void {
  if (value.kind !== "map") {
    problems.error(value.line, path, undefined, "expected a Kubernetes object");
    return;
  }
  const object = new Fields(problems, value, path);
  const apiVersion = object.string("apiVersion");
  const kind = object.string("kind");
  if (apiVersion === undefined || kind === undefined) {
    for (const field of ["apiVersion", "kind"]) {
      if (!object.has(field) || object.isNull(field)) object.error(field, undefined, "required");
    }
    return;
  }
  if (apiVersion === "v1" && kind === "List") {
    readList(object, problems, into);
    return;
  }
  const reader = READERS.get(`${apiVersion} ${kind}`);
  if (reader === undefined) {
    reportKind(object, apiVersion, kind);
    return;
  }
  const read = reader(object, { file: problems.file, line: value.line });
  if (read !== undefined) into.push(read);
}

function readList(list: Fields, problems: ProblemList, into: ManifestObject[]): void {
  list.refuseUnknown(["apiVersion", "kind", "metadata", "items"]);
  for (const [i, item] of (list.list("items")?.items ?? []).entries()) {
    readObject(item, `${list.at("items")}[${i}]`, problems, into);
  }
}

function reportKind(object: Fields, apiVersion: string, kind: string): void {
  if (UNUSED_API.test(apiVersion) || (apiVersion === "v1" && UNUSED_CORE_KINDS.has(kind))) {
    object.warn("kind", kind, "NovaNet does not use objects of this kind; it is left out");
    return;
  }
  const known = [...READERS.keys(), "v1 List"].join(", ");
  object.error("kind", `${apiVersion} ${kind}`, `expected one of ${known}`);
}

function refuseRepeats(objects: readonly ManifestObject[], problems: ProblemList): void {
  const first = new Map<string, ManifestObject>();
  for (const object of objects) {
    const key = objectKey(object);
    const other = first.get(key);
    if (other === undefined) first.set(key, object);
    else {
      const reason = `the same object stands in line ${other.source.line} of this file`;
      problems.error(object.source.line, "metadata.name", key, reason);
    }
  }
}

function byLine(problems: readonly ManifestProblem[]): ManifestProblem[] {
  return [...problems].sort((a, b) => a.line - b.line);
}

/** Maps stay as they are; the types make them read-only. */
function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) {
    if (typeof child === "object" && child !== null && !Object.isFrozen(child)) deepFreeze(child);
  }
  return Object.freeze(value);
}
