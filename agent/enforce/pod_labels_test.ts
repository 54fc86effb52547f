import assert from "node:assert/strict";
import { parseManifest, type PolicyObjects, SelectorKeys } from "../policy/mod.ts";
import { PodLabels } from "./pod_labels.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web, pod-template-hash: "1" } }
spec: { containers: [{ name: c, ports: [{ name: http, containerPort: 8080 }] }] }
`;
const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: shop }
spec: { podSelector: { matchLabels: { pod-template-hash: "1" } } }
`;

function objectsOf(...texts: string[]): PolicyObjects {
  const objects = texts.flatMap((text) => parseManifest("f.yaml", text).objects);
  const of = <K extends string>(kind: K) =>
    new Map(
      objects.filter((object) => object.kind === kind)
        .map((object) => [
          "namespace" in object ? `${object.namespace}/${object.name}` : object.name,
          object,
        ]),
    );
  return {
    pods: of("Pod"),
    namespaces: of("Namespace"),
    policies: of("NetworkPolicy"),
  } as PolicyObjects;
}

const NAMED = { podNamespace: "shop", podName: "web", labels: { from: "AddPod" } };
const UNKNOWN = { podNamespace: "shop", podName: "other", labels: { from: "AddPod" } };
const BARE = { ...UNKNOWN, labels: {} };

const CASES: [what: string, texts: string[], pod: typeof NAMED, labels: object][] = [
  ["the Pod object's, filtered, with its ports", [POD], NAMED, {
    app: "web",
    "novanet.io/namespace": "shop",
    "novanet.io/ports": "http:tcp/8080",
  }],
  ["a filtered one that a policy names", [POD, POLICY], NAMED, {
    app: "web",
    "novanet.io/namespace": "shop",
    "novanet.io/ports": "http:tcp/8080",
    "pod-template-hash": "1",
  }],
  ["AddPod's without a Pod object", [POD], UNKNOWN, {
    from: "AddPod",
    "novanet.io/namespace": "shop",
  }],
  ["none but the namespace", [], BARE as typeof NAMED, { "novanet.io/namespace": "shop" }],
];
for (const [what, texts, pod, labels] of CASES) {
  Deno.test(`identity labels: ${what}`, () => {
    const { pods, policies } = objectsOf(...texts);
    const named = new SelectorKeys();
    named.update({ upserted: [...policies.values()], removed: [] });
    const podLabels = new PodLabels(pods, ["pod-template-hash"], named);
    assert.deepEqual(podLabels.identityLabels(pod), labels);
  });
}
