/** Reads the NetworkPolicy cases of `table/` and `living/`; README.md says how they are written. */
import { basename, join } from "node:path";
import { parse } from "yaml";
import { NAMESPACES, parseService, PARTIES, type PartyName, PODS, type Service } from "./cast.ts";
import type { ModelPod, RawPolicy, Verdict } from "./model.ts";

const FOLDER = import.meta.dirname ?? ".";

/** The objects that are in force during a case. */
export interface World {
  readonly policies: readonly RawPolicy[];
  /** All pods of the cast, with the labels and named ports that they have in this case. */
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

/** A connection that lives while the objects change, and what becomes of its next packet. */
export interface LivingProbe extends Probe {
  /** Who sends it: the one that opened the connection, or the other one. */
  readonly sender: "source" | "target";
}

/** Connections that are opened in one world and live on in another. */
export interface LivingCase {
  readonly what: string;
  readonly before: World;
  readonly after: World;
  readonly connections: readonly LivingProbe[];
}

/** Objects as a file has them. */
interface WrittenWorld {
  /** `NAMESPACE/NAME` -> spec. */
  policies?: Record<string, RawPolicy["spec"]>;
  /** `NAMESPACE/NAME` of policies that have the annotation `novanet.io/mode: audit`. */
  audit?: string[];
  /** Pods whose labels are others than the cast says. */
  labels?: Record<string, Record<string, string>>;
  /** Pods whose named ports are others than the cast says: name -> `TCP/8080`. */
  ports?: Record<string, Record<string, Service>>;
  /** Namespaces whose labels are others than the cast says; null: no object. */
  namespaces?: Record<string, Record<string, string> | null>;
}

/** A case as its file has it. */
interface WrittenCase extends WrittenWorld {
  what: string;
  /** `FROM -> TO SERVICE` -> `VERDICT by RULE`. */
  probes: Record<string, string>[];
}

/** A case of living connections as its file has it. */
interface WrittenLiving {
  what: string;
  before?: WrittenWorld;
  after?: WrittenWorld;
  /** As probes; `FROM <- TO SERVICE`: FROM opened the connection, and TO sends the next packet. */
  connections: Record<string, string>[];
}

const WORLD_FIELDS = ["policies", "audit", "labels", "ports", "namespaces"];

/**
 * @param folder `default_deny` for the cases of a node whose agent has `policy.default_deny`.
 * @returns all cases in the order of the files' names.
 * @throws {Error} for what is written wrong.
 */
export function readTable(folder: "table" | "default_deny" = "table"): PolicyCase[] {
  return readFolder<WrittenCase, PolicyCase>(folder, (written, topic) => {
    refuseUnknown(written, ["what", "probes", ...WORLD_FIELDS]);
    const { what, probes, ...world } = written;
    return { topic, what, world: readWorld(world), probes: probes.map(readProbe) };
  });
}

/** @returns all cases of living connections. @throws {Error} for what is written wrong. */
export function readLiving(): LivingCase[] {
  return readFolder<WrittenLiving, LivingCase>("living", (written) => {
    refuseUnknown(written, ["what", "before", "after", "connections"]);
    const { what, before = {}, after = {}, connections } = written;
    refuseUnknown(before, WORLD_FIELDS);
    refuseUnknown(after, WORLD_FIELDS);
    return {
      what,
      before: readWorld(before),
      after: readWorld(after),
      connections: connections.map(readLivingProbe),
    };
  });
}

/** How a probe and its fate are written. */
export function describeProbe({ from, to, service }: Probe, verdict: string, rule: string): string {
  return `${from} -> ${to} ${service}: ${verdict} by ${rule}`;
}

function readFolder<W extends { what: string }, C>(
  folder: string,
  read: (written: W, topic: string) => C,
): C[] {
  const path = join(FOLDER, folder);
  const files = [...Deno.readDirSync(path)].map(({ name }) => name)
    .filter((name) => name.endsWith(".yaml")).sort();
  return files.flatMap((file) =>
    (parse(Deno.readTextFileSync(join(path, file))) as W[]).map((written) => {
      try {
        return read(written, basename(file, ".yaml"));
      } catch (error) {
        throw new Error(`${folder}/${file}, ${written.what}`, { cause: error });
      }
    })
  );
}

function refuseUnknown(written: object, fields: readonly string[]): void {
  const unknown = Object.keys(written).filter((field) => !fields.includes(field));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(", ")}`);
}

function readWorld(written: WrittenWorld): World {
  const { audit = [], labels = {}, ports = {} } = written;
  const policies = Object.entries(written.policies ?? {}).map(([key, spec]) => {
    const [namespace = "", name = ""] = key.split("/");
    const mode = audit.includes(key) ? { annotations: { "novanet.io/mode": "audit" } } : {};
    return { metadata: { namespace, name, ...mode }, spec };
  });
  const misplaced = [
    ...audit.filter((key) => written.policies?.[key] === undefined),
    ...Object.keys({ ...labels, ...ports }).filter((key) => !hasObject(key)),
  ];
  if (misplaced.length > 0) throw new Error(`nothing is called ${misplaced.join(", ")}`);
  const pods = PODS.map(({ labelsFrom: _, ...pod }) => {
    const named = ports[`${pod.namespace}/${pod.name}`];
    return {
      ...pod,
      labels: labels[`${pod.namespace}/${pod.name}`] ?? pod.labels,
      ports: named === undefined ? pod.ports : Object.entries(named).map(readNamedPort),
    };
  });
  const namespaces = Object.fromEntries(
    Object.entries({ ...NAMESPACES, ...written.namespaces }).flatMap(([name, has]) =>
      has === null ? [] : [[name, has]]
    ),
  );
  return { policies, pods, namespaces };
}

function readNamedPort([name, service]: [string, Service]): ModelPod["ports"][number] {
  const [protocol, port] = parseService(service);
  return { name, protocol, port };
}

/** A pod without an object keeps the labels of its ADD, and has no named ports. */
function hasObject(key: string): boolean {
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

function readLivingProbe(written: Record<string, string>): LivingProbe {
  const [[key = "", fate = ""] = []] = Object.entries(written);
  const probe = readProbe({ [key.replace(" <- ", " -> ")]: fate });
  return { ...probe, sender: key.includes(" <- ") ? "target" : "source" };
}
