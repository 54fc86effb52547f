import assert from "node:assert/strict";
import { SeededRandom } from "../../../shared/testing/seeded_random.ts";
import { parseManifest } from "./manifest.ts";

const TEXT = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, labels: {a: b}}
spec:
  podSelector: &any {}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: *any}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: 80, endPort: 90}, {port: "http", protocol: UDP}]
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers: [{ports: [{name: http, containerPort: 80}]}]
`;
const PIECES = [
  "null",
  "[]",
  "{}",
  "-1",
  '""',
  "*any",
  "&x ",
  "!!str ",
  "<<: ",
  "\t",
  "\n",
  "'",
  "#",
  ": ",
  "- ",
  "---\n",
  "? ",
  "|\n",
  "\u0000",
  "\ud800",
  "1e999",
  ".nan",
];

Deno.test("no text makes the parser throw, and errors always leave no objects", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 3000; i++) {
    let text = TEXT;
    for (let edits = 1 + random.below(3); edits > 0; edits--) {
      const from = random.below(text.length);
      const to = from + random.below(12);
      text = text.slice(0, from) + random.pick(PIECES) + text.slice(to);
    }
    const { objects, errors } = parseManifest("x.yaml", text);
    if (errors.length > 0) assert.equal(objects.length, 0, text);
  }
});
