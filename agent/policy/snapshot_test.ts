import assert from "node:assert/strict";
import { parseManifest } from "./objects/manifest.ts";
import { compile, memoryIds } from "./compile.ts";
import { PolicyIndex } from "./policy_index.ts";
import { SelectorKeys } from "./selector_keys.ts";
import { diffObjects, groupObjects } from "./snapshot.ts";

const TEXT = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - podSelector: {matchExpressions: [{key: tier, operator: Exists}]}
      namespaceSelector: {matchLabels: {team: a}}
`;

function read(text: string) {
  return groupObjects(parseManifest("a.yaml", text).objects);
}

Deno.test("a diff names what came, changed and went, and nothing else", () => {
  const before = read(TEXT);
  assert.equal(diffObjects(undefined, before).policies.upserted.length, 1);
  const same = diffObjects(before, read(TEXT));
  for (const { upserted, removed } of Object.values(same)) {
    assert.equal(upserted.length + removed.length, 0);
  }
  const after = diffObjects(
    before,
    read(TEXT.replace("team: a}}\n---", "team: b}}\n---").replace("name: web", "name: db")),
  );
  assert.deepEqual(after.namespaces.upserted.map(({ name }) => name), ["shop"]);
  assert.deepEqual(after.pods.upserted.map(({ name }) => name), ["db"]);
  assert.deepEqual(after.pods.removed.map(({ name }) => name), ["web"]);
  assert.deepEqual(after.policies, { upserted: [], removed: [] });
});

Deno.test("the pod labels that policies name are known, those of namespaces are not among them", () => {
  const policies = [...read(TEXT).policies.values()];
  const keys = new SelectorKeys();
  assert.equal(keys.update({ upserted: policies, removed: [] }), true);
  assert.deepEqual([...keys], ["app", "tier"]);
  assert.equal(keys.update({ upserted: policies, removed: [] }), false, "the same again");
  const twins = policies.map((policy) => ({ ...policy, name: `${policy.name}-twin` }));
  assert.equal(keys.update({ upserted: twins, removed: [] }), false, "others name the same");
  assert.equal(keys.update({ upserted: [], removed: policies }), false, "the others still do");
  assert.equal(keys.update({ upserted: policies, removed: twins }), false, "one comes, one goes");
  assert.equal(keys.update({ upserted: [], removed: policies }), true);
  assert.deepEqual([...keys], []);
});

Deno.test("an index follows snapshots to what a compile from nothing gives", () => {
  const ids = memoryIds();
  const index = new PolicyIndex(ids);
  for (const text of [TEXT, TEXT.replace("name: p,", "name: q,"), "", TEXT]) {
    index.applySnapshot(read(text));
    assert.deepEqual(index.desired(), compile(read(text), [], { ids }));
    assert.equal(index.policyCount, text === "" ? 0 : 1);
  }
});
