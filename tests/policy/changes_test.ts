import assert from "node:assert/strict";
import { compile, memoryIds } from "../../agent/policy/compile.ts";
import { type DesiredPolicy, entryKey, type PolicyChanges } from "../../agent/policy/entries.ts";
import type { PolicyEndpoint } from "../../agent/policy/identity_group.ts";
import { namespaceLabels } from "../../agent/policy/objects/namespace.ts";
import { labelSet, type NamespaceObject } from "../../agent/policy/objects/types.ts";
import { PolicyIndex } from "../../agent/policy/policy_index.ts";
import { groupObjects } from "../../agent/policy/snapshot.ts";
import { readPolicy, TestIdentities } from "../../agent/policy/testing/endpoints.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import type { RawPolicy } from "./model.ts";
import { RandomCluster } from "./random_cluster.ts";
import { SEED_VARIABLE, seeds } from "./seeds.ts";

/** A desired set as sorted text, to compare. */
function lines(desired: DesiredPolicy): string[] {
  const { policies, cidrIdentities, ruleNames } = desired;
  return [...policies, ...cidrIdentities, ...Object.entries(ruleNames)]
    .map((item) => JSON.stringify(item)).sort();
}

/** Rebuilds the complete set from changes alone. */
class Mirror {
  readonly #entries = new Map<string, DesiredPolicy["policies"][number]>();
  readonly #cidrs = new Map<number, DesiredPolicy["cidrIdentities"][number]>();
  readonly #names = new Map<number, string>();

  apply(changes: PolicyChanges): void {
    for (const entry of changes.removed) assert(this.#entries.delete(entryKey(entry)));
    for (const entry of changes.upserted) this.#entries.set(entryKey(entry), entry);
    for (const { identityId } of changes.cidrsRemoved) assert(this.#cidrs.delete(identityId));
    for (const cidr of changes.cidrsAdded) this.#cidrs.set(cidr.identityId, cidr);
    for (const id of changes.rulesRemoved) assert(this.#names.delete(id));
    for (const [id, name] of Object.entries(changes.rulesAdded)) this.#names.set(Number(id), name);
  }

  desired(): DesiredPolicy {
    return {
      policies: [...this.#entries.values()],
      cidrIdentities: [...this.#cidrs.values()],
      ruleNames: {
        1: "default-deny",
        2: "default-allow",
        3: "node",
        ...Object.fromEntries(this.#names),
      },
    };
  }
}

/** What is in force, kept beside the index to compile from nothing. */
class Changing {
  readonly ids = memoryIds();
  readonly index: PolicyIndex;
  readonly #defaultDeny: boolean;
  readonly #random: RandomCluster;
  readonly #identities = new TestIdentities();
  readonly #policies = new Map<string, RawPolicy>();
  readonly #namespaces = new Map<string, Record<string, string>>();
  readonly #endpoints = new Map<string, PolicyEndpoint>();

  constructor(seed: number) {
    this.#random = new RandomCluster(seed);
    this.#defaultDeny = seed % 3 === 0;
    this.index = new PolicyIndex(this.ids, { defaultDeny: this.#defaultDeny });
  }

  /** Makes one random change. */
  change(): void {
    const random = this.#random;
    const change = random.below(6);
    if (change <= 1) this.#addPolicy();
    else if (change === 2) this.#removePolicy();
    else if (change === 3) this.#setNamespace();
    else if (change === 4) {
      const endpoint = this.#identities.endpoint(random.pod(1 + random.below(12)));
      this.#endpoints.set(endpoint.ip.toString(), endpoint);
      this.index.upsertEndpoint(endpoint);
    } else {
      const ip = `10.244.0.${1 + random.below(12)}`;
      this.#endpoints.delete(ip);
      this.index.removeEndpoint(Ipv4.parse(ip));
    }
  }

  fromScratch(): DesiredPolicy {
    const namespaces = [...this.#namespaces].map(([name, labels]): NamespaceObject => ({
      kind: "Namespace",
      name,
      source: { file: "n.yaml", line: 1 },
      labels: namespaceLabels(name, labelSet(labels)),
    }));
    const objects = [...namespaces, ...[...this.#policies.values()].map(readPolicy)];
    const order = this.#random.chance(50) ? objects : objects.reverse();
    const options = { ids: this.ids, defaultDeny: this.#defaultDeny };
    return compile(groupObjects(order), this.#endpoints.values(), options);
  }

  #addPolicy(): void {
    const policy = this.#random.policy(this.#random.below(5));
    this.#policies.set(`${policy.metadata.namespace}/${policy.metadata.name}`, policy);
    this.index.addPolicy(readPolicy(policy));
  }

  #removePolicy(): void {
    const { namespace, name } = this.#random.policy(this.#random.below(5)).metadata;
    this.#policies.delete(`${namespace}/${name}`);
    this.index.removePolicy(namespace, name);
  }

  #setNamespace(): void {
    const name = this.#random.namespace();
    const labels = this.#random.chance(80) ? this.#random.labels() : undefined;
    if (labels === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, labels);
    this.index.setNamespace(name, labels && labelSet(labels));
  }
}

Deno.test("any sequence of changes ends where a compile from nothing ends", () => {
  for (const seed of seeds(60)) {
    const changing = new Changing(seed);
    const mirror = new Mirror();
    for (let step = 0; step < 60; step++) {
      changing.change();
      // Sometimes several changes become one result.
      if (step % 3 === 0) continue;
      const at = `${SEED_VARIABLE}=${seed} step ${step}`;
      const expected = lines(changing.fromScratch());
      assert.deepEqual(lines(changing.index.desired()), expected, at);
      mirror.apply(changing.index.takeChanges());
      assert.deepEqual(lines(mirror.desired()), expected, `changes: ${at}`);
      assert.equal(changing.index.takeChanges().empty, true, at);
    }
  }
});
