import assert from "node:assert/strict";
import { SeededRandom } from "../../../shared/testing/seeded_random.ts";
import { parseManifest } from "./manifest.ts";
import { ManifestReader } from "./manifest_reader.ts";

const policy = (name: string, port: number) =>
  `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}}
spec:
  podSelector: {}
  ingress:
  - ports: [{port: ${port}}]
`;
const DOCUMENTS = [
  policy("a", 80),
  policy("a", 81),
  policy("b", 80),
  policy("c", 70_000),
  "",
  "# nothing\n",
  "\n\n",
  "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: 'x\n  y'}}\n",
  "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
  'apiVersion: v1\nkind: Pod\nmetadata: {name: q, annotations: {a: "x\n--- y\n"}}\n',
  "apiVersion: v1\nkind: Pod\nmetadata:\n  name: r\n  annotations:\n    a: |\n      x\n---\n      y\n",
  "apiVersion: v1\nkind: Pod\nmetadata: {name: &x s, labels: {a: *x}}\n",
  "... \n",
  "%YAML 1.1\n",
  "kind: [\n",
];
const MARKS = ["---\n", "--- # next\n", "---\r\n", "---", "--- ", "----\n", " ---\n"];

Deno.test("a text read after others is read as it is alone", () => {
  const random = new SeededRandom(6);
  const reader = new ManifestReader("x.yaml");
  const parts: string[] = [];
  let good = 0;
  for (let round = 0; round < 300; round++) {
    const at = random.below(parts.length + 1);
    const kind = random.below(12);
    if (kind < 4) parts.splice(at, 1 + random.below(2));
    else if (kind < 5) parts.splice(at, 0, random.pick(MARKS));
    else if (kind < 7) parts.splice(at, 0, `---\n${random.pick(DOCUMENTS)}`);
    else parts.splice(at, 0, `---\n${policy(`p${round}`, random.below(9) + 1)}`);
    if (parts.length > 7) parts.splice(0, 4);
    const text = parts.join("");
    const expected = parseManifest("x.yaml", text);
    if (expected.objects.length > 1) good++;
    assert.deepEqual(reader.read(text), expected, text);
  }
  assert.ok(good > 50, `${good} texts with several objects`);
});

Deno.test("only the document that changed is another object", () => {
  const reader = new ManifestReader("x.yaml");
  const texts = Array.from({ length: 5 }, (_, i) => policy(`p${i}`, 80));
  const before = reader.read(texts.join("---\n")).objects;
  texts[2] = policy("p2", 81);
  const after = reader.read(texts.join("---\n")).objects;
  assert.deepEqual(after.map((object, i) => object === before[i]), [true, true, false, true, true]);
  assert.equal(after[3]?.source.line, before[3]?.source.line);
});
