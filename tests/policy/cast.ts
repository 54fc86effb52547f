/** Who plays in the table and in the random clusters: the pods, the node, and addresses outside. */
import type { ModelEnd, ModelPod } from "./model.ts";

/** A pod of the cast, and where its labels come from. */
export interface CastPod extends ModelPod {
  /** `ADD`: the runtime tells them and there is no Pod object; a pod without named ports, then. */
  readonly labelsFrom: "manifest" | "ADD";
}

const tcp = (name: string, port: number) => ({ name, protocol: "TCP", port });
const udp = (name: string, port: number) => ({ name, protocol: "UDP", port });
const sctp = (name: string, port: number) => ({ name, protocol: "SCTP", port });

/**
 * shop/web and office/web have one label set in two namespaces. The port named http is another one
 * at each pod. lab has no Namespace object and lab/bare no labels.
 */
export const PODS: readonly CastPod[] = [
  {
    namespace: "shop",
    name: "web",
    labels: { app: "web", tier: "front" },
    ports: [tcp("http", 8080), udp("dns", 53)],
    ip: "10.244.0.10",
    labelsFrom: "manifest",
  },
  {
    namespace: "shop",
    name: "api",
    labels: { app: "api", tier: "back" },
    ports: [tcp("http", 9090), tcp("dns", 53)],
    ip: "10.244.0.11",
    labelsFrom: "manifest",
  },
  {
    namespace: "shop",
    name: "db",
    labels: { app: "db", tier: "back", "example.com/backup": "" },
    ports: [tcp("sql", 5432), sctp("diameter", 3868)],
    ip: "10.244.0.12",
    labelsFrom: "manifest",
  },
  {
    namespace: "office",
    name: "web",
    labels: { app: "web", tier: "front" },
    ports: [tcp("http", 80)],
    ip: "10.244.0.20",
    labelsFrom: "manifest",
  },
  {
    namespace: "office",
    name: "client",
    labels: { app: "client" },
    ports: [],
    ip: "10.244.0.21",
    labelsFrom: "ADD",
  },
  { namespace: "lab", name: "bare", labels: {}, ports: [], ip: "10.244.0.30", labelsFrom: "ADD" },
];

/** The labels of the namespaces that have an object. */
export const NAMESPACES: Readonly<Record<string, Record<string, string>>> = {
  shop: { team: "retail", stage: "prod" },
  office: { team: "staff", stage: "prod" },
};

/** The node's address on the wire to the outside. */
export const NODE = "192.0.2.10";

/** Addresses outside: the first is the next hop's own, the others are behind it. */
export const OUTSIDE = [
  "192.0.2.1",
  "198.51.100.7",
  "198.51.100.130",
  "198.51.100.200",
  "203.0.113.5",
] as const;

/** What the table calls somebody: `NAMESPACE/NAME`, `node`, or an address outside. */
export type PartyName = string;

/** All of them. */
export const PARTIES: readonly PartyName[] = [
  ...PODS.map(({ namespace, name }) => `${namespace}/${name}`),
  "node",
  ...OUTSIDE,
];

/** What a probe sends: `TCP/80`, `UDP/53`, `SCTP/3868` or `ICMP`. */
export type Service = string;

/** @returns protocol and port of a service; ICMP has port 0. @throws {Error} when it is none. */
export function parseService(service: Service): [protocol: string, port: number] {
  const [, protocol, port] = /^(TCP|UDP|SCTP)\/(\d{1,5})$/.exec(service) ?? [];
  if (protocol !== undefined) return [protocol, Number(port)];
  if (service === "ICMP") return ["ICMP", 0];
  throw new Error(`${service}: expected TCP/PORT, UDP/PORT, SCTP/PORT or ICMP`);
}

/** @returns a party as the model sees it. @throws {Error} when nobody is called so. */
export function modelEnd(name: PartyName, pods: readonly ModelPod[]): ModelEnd {
  if (name === "node") return { node: NODE };
  if (OUTSIDE.some((address) => address === name)) return { address: name };
  const pod = pods.find((pod) => `${pod.namespace}/${pod.name}` === name);
  if (pod === undefined) throw new Error(`nobody is called ${name}`);
  return { pod };
}
