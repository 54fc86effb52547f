import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { PODS } from "./cast.ts";
import type {
  ModelCluster,
  ModelEnd,
  ModelPod,
  RawPeer,
  RawPolicy,
  RawPort,
  RawSelector,
} from "./model.ts";

const NAMESPACES = ["shop", "office", "lab"];
const KEYS = ["app", "tier", "constructor"];
const VALUES = ["a", "b", "c"];
const PORT_NAMES = ["http", "dns"];
const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const PORTS = [53, 80, 81, 82, 443, 8080, 9000];
const BLOCKS = [
  "0.0.0.0/0",
  "128.0.0.0/1",
  "10.0.0.0/8",
  "10.244.0.0/24",
  "10.244.0.0/28",
  "10.244.0.8/30",
  "10.244.0.11/32",
  "192.0.2.0/24",
  "192.0.2.0/29",
  "198.51.100.0/24",
  "198.51.100.128/25",
  "198.51.100.128/30",
  "198.51.100.200/32",
];

/** Small random clusters, made to have much in common so that rules meet. Repeatable by seed. */
export class RandomCluster extends SeededRandom {
  some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  namespace(): string {
    return this.pick(NAMESPACES);
  }

  labels(): Record<string, string> {
    return Object.fromEntries(this.some(2, () => [this.pick(KEYS), this.pick(VALUES)]));
  }

  /** @param number gives the pod its name and address. */
  pod(number: number): ModelPod {
    return {
      namespace: this.namespace(),
      name: `pod-${number}`,
      labels: this.labels(),
      ports: this.namedPorts(),
      ip: `10.244.0.${number}`,
    };
  }

  /** The pods of the cast, with other labels and ports where the manifests tell them. */
  castPods(): ModelPod[] {
    return PODS.map(({ labelsFrom, ...pod }) =>
      labelsFrom === "ADD" ? pod : { ...pod, labels: this.labels(), ports: this.namedPorts() }
    );
  }

  namedPorts(): ModelPod["ports"] {
    const ports = new Map<string, ModelPod["ports"][number]>();
    for (const name of this.some(3, () => this.pick(PORT_NAMES))) {
      ports.set(name, { name, protocol: this.pick(PROTOCOLS), port: this.pick(PORTS) });
    }
    return [...ports.values()];
  }

  /** Namespaces and policies; `lab` never has an object. */
  cluster(): ModelCluster {
    return {
      namespaces: { shop: this.labels(), office: this.labels() },
      policies: Array.from({ length: this.below(6) }, (_, i) => this.policy(i)),
      defaultDeny: this.chance(15),
    };
  }

  /** @param number gives the policy its name. */
  policy(number: number): RawPolicy {
    const policy: RawPolicy = {
      metadata: { namespace: this.namespace(), name: `policy-${number}` },
      spec: { podSelector: this.selector() },
    };
    if (this.chance(30)) policy.metadata.annotations = { "novanet.io/mode": "audit" };
    if (this.chance(50)) {
      policy.spec.policyTypes = this.some(2, () => this.pick(["Ingress", "Egress"]));
    }
    if (this.chance(70)) {
      policy.spec.ingress = this.some(2, () => ({ ...this.#rule("from"), ...this.#ports() }));
    }
    if (this.chance(70)) {
      policy.spec.egress = this.some(2, () => ({ ...this.#rule("to"), ...this.#ports() }));
    }
    return policy;
  }

  /** Often one that the destination has a name for: names matter there only. */
  service(to: ModelEnd): [protocol: string, port: number] {
    const named = "pod" in to ? to.pod.ports : [];
    if (named.length > 0 && this.chance(50)) {
      const { protocol, port } = this.pick(named);
      return [protocol, port];
    }
    const protocol = this.protocol();
    return [protocol, protocol === "ICMP" ? 0 : this.port()];
  }

  protocol(): string {
    return this.pick([...PROTOCOLS, "ICMP"]);
  }

  port(): number {
    return this.chance(80) ? this.pick(PORTS) : 1 + this.below(65535);
  }

  selector(): RawSelector {
    const selector: RawSelector = {};
    if (this.chance(40)) selector.matchLabels = { [this.pick(KEYS)]: this.pick(VALUES) };
    if (this.chance(30)) {
      const operator = this.pick(["In", "NotIn", "Exists", "DoesNotExist"]);
      const values = operator.endsWith("In")
        ? { values: [this.pick(VALUES), this.pick(VALUES)] }
        : {};
      selector.matchExpressions = [{ key: this.pick(KEYS), operator, ...values }];
    }
    return selector;
  }

  #rule(field: "from" | "to"): Record<string, RawPeer[]> {
    return this.chance(75) ? { [field]: this.some(3, () => this.#peer()) } : {};
  }

  #peer(): RawPeer {
    if (this.chance(50)) return { ipBlock: this.#block() };
    const peer: RawPeer = {};
    if (this.chance(60)) peer.namespaceSelector = this.#namespaceSelector();
    if (peer.namespaceSelector === undefined || this.chance(50)) peer.podSelector = this.selector();
    return peer;
  }

  #namespaceSelector(): RawSelector {
    return this.chance(40)
      ? { matchLabels: { "kubernetes.io/metadata.name": this.namespace() } }
      : this.selector();
  }

  #block(): { cidr: string; except?: string[] } {
    const cidr = this.pick(BLOCKS);
    const inner = BLOCKS.filter((other) => isStrictlyInside(other, cidr));
    if (inner.length === 0 || this.chance(40)) return { cidr };
    return { cidr, except: this.some(2, () => this.pick(inner)) };
  }

  #ports(): { ports?: RawPort[] } {
    return this.chance(70) ? { ports: this.some(3, () => this.#port()) } : {};
  }

  #port(): RawPort {
    const port: RawPort = this.chance(60) ? { protocol: this.pick(PROTOCOLS) } : {};
    if (this.chance(20)) return port;
    if (this.chance(50)) return { ...port, port: this.pick(PORT_NAMES) };
    const from = this.pick([1, ...PORTS]);
    if (this.chance(60)) return { ...port, port: from };
    return { ...port, port: from, endPort: this.pick([from, from + 1, from + 1000, 65535]) };
  }
}

function isStrictlyInside(inner: string, outer: string): boolean {
  const [innerLength, outerLength] = [inner, outer].map((cidr) => Number(cidr.split("/")[1]));
  const length = outerLength as number;
  const start = (cidr: string) =>
    (cidr.split("/")[0] as string).split(".")
      .reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const size = 2 ** (32 - length);
  return (innerLength as number) > length &&
    Math.floor(start(inner) / size) === Math.floor(start(outer) / size);
}
