import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import type { ModelCluster, ModelPod, RawPeer, RawPolicy, RawPort, RawSelector } from "./model.ts";

const NAMESPACES = ["red", "green", "blue", "grey"];
const KEYS = ["app", "tier", "constructor"];
const VALUES = ["a", "b", "c"];
const PORT_NAMES = ["http", "dns"];
const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const PORTS = [53, 80, 81, 82, 443, 8080, 9000];
const BLOCKS = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.0/24",
  "10.1.2.3/32",
  "10.244.0.0/16",
  "10.244.0.0/29",
  "10.244.0.4/30",
  "10.244.0.5/32",
  "192.168.0.0/16",
  "128.0.0.0/1",
];

/** Addresses outside the cluster, in and between the blocks. */
export const OUTSIDE = ["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.168.1.1", "8.8.8.8"];

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
    const ports = new Map<string, ModelPod["ports"][number]>();
    for (const name of this.some(3, () => this.pick(PORT_NAMES))) {
      ports.set(name, { name, protocol: this.pick(PROTOCOLS), port: this.pick(PORTS) });
    }
    return {
      namespace: this.namespace(),
      name: `pod-${number}`,
      labels: this.labels(),
      ports: [...ports.values()],
      ip: `10.244.0.${number}`,
    };
  }

  /** Namespaces and policies; `grey` never has an object. */
  cluster(): ModelCluster {
    return {
      namespaces: { red: this.labels(), green: this.labels(), blue: {} },
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
