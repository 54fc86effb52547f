/** What a change costs: its own size, however many policies and pods there are beside. */
import assert from "node:assert/strict";
import { memoryIds } from "./compile.ts";
import { labelSet, type NamespaceObject, type NetworkPolicyObject } from "./objects/types.ts";
import { PolicyIndex } from "./policy_index.ts";
import { groupObjects, type PolicyObjects, replaceObjects } from "./snapshot.ts";
import { readPolicy, TestIdentities } from "./testing/endpoints.ts";

/** Makes policies that count how often a field of theirs, or of anything in them, is read. */
class Watch {
  reads = 0;

  on<T>(value: T): T {
    if (!isPlain(value)) return value;
    const copy = Array.isArray(value)
      ? value.map((item) => this.on(item))
      : Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.on(item)]));
    return new Proxy(copy, {
      get: (target, key) => {
        this.reads += 1;
        return Reflect.get(target, key) as unknown;
      },
    }) as T;
  }
}

/** Instances of classes keep themselves. */
function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

/** What one change made the compiler do. */
interface Cost {
  readonly what: string;
  /** Fields of policies that were read: every selector that is evaluated counts. */
  readonly reads: number;
  /** Entries that are not the objects of before. */
  readonly compiled: number;
  /** Entries that the dataplane is told of. */
  readonly upserted: number;
  readonly removed: number;
}

/** A cluster with some policies and as many pods, none of which has to do with the pods web, api and new. */
class Cluster {
  readonly watch = new Watch();
  readonly costs: Cost[] = [];
  readonly #identities = new TestIdentities();
  readonly #index = new PolicyIndex(memoryIds());
  #objects: PolicyObjects;

  constructor(others: number) {
    this.#pod("web", "web", 1);
    this.#pod("api", "api", 2);
    this.#pod("client", "client", 3, "office");
    const policies = Array.from({ length: others }, (_, i) => {
      this.#pod(`other-${i}`, `other-${i}`, 256 + i);
      return this.#policy(`other-${i}`, `other-${i}`, {
        from: [
          { podSelector: { matchLabels: { app: `other-${(i + 1) % others}` } } },
          { namespaceSelector: { matchLabels: { team: `team-${i}` } } },
          { ipBlock: { cidr: `172.16.${i % 256}.0/${24 + i % 8}` } },
        ],
        ports: [{ port: 1000 + i }, { port: "http" }],
      });
    });
    this.#objects = groupObjects(policies);
    this.#index.applySnapshot(this.#objects);
    this.#index.takeChanges();
  }

  /** How many entries are in force. */
  get entryCount(): number {
    return this.#index.entryCount;
  }

  /** Makes the changes, and counts. */
  change(): void {
    const before = this.#guard(80);
    const after = this.#guard(81);
    this.#apply("a policy comes", [], [before]);
    this.#apply("a policy changes", [before], [after]);
    this.#apply("a namespace gets a label", [], [namespace("office", { team: "staff" })]);
    this.#count("a pod comes", () => this.#pod("new", "web", 4));
    this.#count("a pod gets other labels", () => this.#pod("new", "api", 4));
    this.#count("a pod goes", () => this.#index.removeEndpoint(this.#endpoint("new", "api", 4).ip));
    this.#apply("a policy goes", [after], []);
  }

  #guard(port: number): NetworkPolicyObject {
    return this.#policy("guard", "web", {
      from: [
        { podSelector: { matchLabels: { app: "api" } } },
        { namespaceSelector: { matchLabels: { team: "staff" } } },
        { ipBlock: { cidr: "192.0.2.0/24", except: ["192.0.2.128/25"] } },
      ],
      ports: [{ port }, { port: "http" }],
    });
  }

  #policy(name: string, app: string, rule: object): NetworkPolicyObject {
    const spec = { podSelector: { matchLabels: { app } }, ingress: [rule] };
    return this.watch.on(readPolicy({ metadata: { namespace: "shop", name }, spec }));
  }

  #endpoint(name: string, app: string, number: number, namespace = "shop") {
    const ip = `10.244.${number >> 8}.${number % 256}`;
    const ports = [{ name: "http", protocol: "TCP", port: 8080 }];
    const labels = { app, name };
    return this.#identities.endpoint({ namespace, name, labels, ports, ip });
  }

  #pod(name: string, app: string, number: number, namespace?: string): void {
    this.#index.upsertEndpoint(this.#endpoint(name, app, number, namespace));
  }

  #apply(
    what: string,
    gone: readonly NetworkPolicyObject[],
    come: readonly (NetworkPolicyObject | NamespaceObject)[],
  ): void {
    const now = replaceObjects(this.#objects, gone, come);
    this.#count(what, () => this.#index.applySnapshot(now));
    this.#objects = now;
  }

  #count(what: string, change: () => void): void {
    const before = new Set(this.#index.desired().policies);
    this.watch.reads = 0;
    change();
    const { upserted, removed } = this.#index.takeChanges();
    const { reads } = this.watch;
    const compiled = this.#index.desired().policies.filter((entry) => !before.has(entry)).length;
    const [told, taken] = [upserted.length, removed.length];
    this.costs.push({ what, reads, compiled, upserted: told, removed: taken });
  }
}

function namespace(name: string, labels: Record<string, string>): NamespaceObject {
  return {
    kind: "Namespace",
    name,
    source: { file: "n.yaml", line: 1 },
    labels: labelSet(labels),
  };
}

Deno.test("a change costs the same among 10 policies and among 1,000: a diff, never a rebuild", () => {
  const [few, many] = [new Cluster(10), new Cluster(1000)];
  // To build it all is another matter, which shows that the counting counts.
  assert(many.watch.reads > 50 * few.watch.reads, `${few.watch.reads} and ${many.watch.reads}`);
  assert(many.entryCount > 50 * few.entryCount);
  for (const cluster of [few, many]) cluster.change();
  assert.deepEqual(many.costs, few.costs);
  for (const { what, reads, upserted, removed } of few.costs) {
    assert(upserted + removed > 0, what);
    assert(reads > 0, what);
  }
});
