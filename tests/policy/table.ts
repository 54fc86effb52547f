/** Reads the table of NetworkPolicy cases, `table/*.yaml`; README.md says how it is written. */
import { basename, join } from "node:path";
import { parse } from "yaml";
import { NAMESPACES, parseService, PARTIES, type PartyName, PODS, type Service } from "./cast.ts";
import type { ModelPod, RawPolicy, Verdict } from "./model.ts";

const FOLDER = join(import.meta.dirname ?? ".", "table");

/** The objects that are in force during a case. */
export interface World {
  readonly policies: readonly RawPolicy[];
  /** All pods of the cast, with the labels that they have in this case. */
  readonly pods: readonly ModelPod[];
  /** Labels of the namespaces that have an object. */
  readonly namespaces: Readonly<Record<string, Record<string, string>>>;
}

/** A packet that opens a connection, and what must become of it. */
export interface Probe {
  readonly from: PartyName;
  readonly to: PartyName;
  readonly service: Service;
  readonly protocol: string;
  /** 0 for ICMP. */
  readonly port: number;
  readonly verdict: Verdict;
  /** The rule that flows name as the reason. */
  readonly rule: string;
}

/** Objects in force, and what becomes of some packets under them. */
export interface PolicyCase {
  /** The file's name without its ending. */
  readonly topic: string;
  /** What the case shows; unlike all others of the topic. */
  readonly what: string;
  readonly world: World;
  readonly probes: readonly Probe[];
}

/** A case as its file has it. */
interface WrittenCase {
  what: string;
  /** `NAMESPACE/NAME` -> spec. */
  policies?: Record<string, RawPolicy["spec"]>;
  /** `NAMESPACE/NAME` of policies that have the annotation `novanet.io/mode: audit`. */
  audit?: string[];
  /** Pods whose labels are others than the cast says. */
  labels?: Record<string, Record<string, string>>;
  /** Namespaces whose labels are others than the cast says; null: no object. */
  namespaces?: Record<string, Record<string, string> | null>;
  /** `FROM -> TO SERVICE` -> `VERDICT by RULE`. */
  probes: Record<string, string>[];
}

const FIELDS = ["what", "policies", "audit", "labels", "namespaces", "probes"];

/** @returns all cases in the order of the files' names. @throws {Error} for what is written wrong. */
export function readTable(): PolicyCase[] {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
    .filter((name) => name.endsWith(".yaml")).sort();
  return files.flatMap((file) => {
    const written = parse(Deno.readTextFileSync(join(FOLDER, file))) as WrittenCase[];
    return written.map((one) => {
      try {
        return readCase(basename(file, ".yaml"), one);
      } catch (error) {
        throw new Error(`${file}, ${one.what}`, { cause: error });
      }
    });
  });
}

/** How a probe and its fate are written. */
export function describeProbe({ from, to, service }: Probe, verdict: string, rule: string): string {
  return `${from} -> ${to} ${service}: ${verdict} by ${rule}`;
}

function readCase(topic: string, written: WrittenCase): PolicyCase {
  const unknown = Object.keys(written).filter((field) => !FIELDS.includes(field));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(", ")}`);
  const { what, audit = [], labels = {} } = written;
  const policies = Object.entries(written.policies ?? {}).map(([key, spec]) => {
    const [namespace = "", name = ""] = key.split("/");
    const mode = audit.includes(key) ? { annotations: { "novanet.io/mode": "audit" } } : {};
    return { metadata: { namespace, name, ...mode }, spec };
  });
  const misplaced = [
    ...audit.filter((key) => written.policies?.[key] === undefined),
    ...Object.keys(labels).filter((key) => !isRelabellable(key)),
  ];
  if (misplaced.length > 0) throw new Error(`nothing is called ${misplaced.join(", ")}`);
  const pods = PODS.map(({ labelsFrom: _, ...pod }) => ({
    ...pod,
    labels: labels[`${pod.namespace}/${pod.name}`] ?? pod.labels,
  }));
  const namespaces = Object.fromEntries(
    Object.entries({ ...NAMESPACES, ...written.namespaces }).flatMap(([name, has]) =>
      has === null ? [] : [[name, has]]
    ),
  );
  return {
    topic,
    what,
    world: { policies, pods, namespaces },
    probes: written.probes.map(readProbe),
  };
}

/** A pod without an object keeps the labels of its ADD. */
function isRelabellable(key: string): boolean {
  return PODS.some(({ namespace, name, labelsFrom }) =>
    labelsFrom === "manifest" && `${namespace}/${name}` === key
  );
}

function readProbe(written: Record<string, string>): Probe {
  const [[key = "", fate = ""] = []] = Object.entries(written);
  const [, from = "", to = "", service = ""] = /^(\S+) -> (\S+) (\S+)$/.exec(key) ?? [];
  const [, verdict, rule = ""] = /^(allow|deny|audit) by (\S+)$/.exec(fate) ?? [];
  if (verdict === undefined) throw new Error(`${key}: ${fate}: expected VERDICT by RULE`);
  for (const name of [from, to]) {
    if (!PARTIES.includes(name)) throw new Error(`${key}: nobody is called ${name}`);
  }
  const [protocol, port] = parseService(service);
  return { from, to, service, protocol, port, verdict: verdict as Verdict, rule };
}
