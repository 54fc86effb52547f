import assert from "node:assert/strict";
import { parseManifest } from "./manifest.ts";
import { formatProblem } from "./problem.ts";
import type { NetworkPolicyObject, PodObject } from "./types.ts";

const HEAD = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
`;

/** The spec starts in line 5. */
function policyText(spec: string): string {
  return `${HEAD}spec:\n${spec.replace(/^/gm, "  ")}\n`;
}

function policy(spec: string): NetworkPolicyObject {
  const { objects, errors } = parseManifest("p.yaml", policyText(spec));
  assert.deepEqual(errors.map(formatProblem), []);
  return objects[0] as NetworkPolicyObject;
}

function errorsOf(text: string, file = "p.yaml"): string[] {
  const { objects, errors } = parseManifest(file, text);
  if (errors.length > 0) assert.deepEqual(objects, [], "a file counts whole or not at all");
  return errors.map(formatProblem);
}

/** [spec, start of the one error line after `p.yaml:`]. */
const INVALID_SPECS: [spec: string, error: string][] = [
  ["podSelectr: {}", "5 spec.podSelectr: unknown field"],
  ["podSelector: {matchLabel: {a: b}}", "5 spec.podSelector.matchLabel: unknown field"],
  ["podSelector: {}\negres: []", "6 spec.egres: unknown field"],
  ["podSelector: {}\ningress:\n- form: []", "7 spec.ingress[0].form: unknown field"],
  ["podSelector: {}\negress:\n- from: []", "7 spec.egress[0].from: unknown field"],
  ["podSelector: {}\ningress:\n- from:\n  - podselector: {}", "8 spec.ingress[0].from[0]"],
  ["podSelector: {}\ningress:\n- from:\n  - {}", "8 spec.ingress[0].from[0]: a peer needs"],
  ["podSelector: {}\ningress:\n- from:\n  - podSelector:", "8 spec.ingress[0].from[0]: a peer"],
  ["podSelector: {}\ningress:\n-", "7 spec.ingress[0] null: expected a mapping, got null"],
  ["podSelector: {}\ningress: {}", "6 spec.ingress: expected a list, got a mapping"],
  ["podSelector: []", "5 spec.podSelector: expected a mapping, got a list"],
  ["podSelector: {matchLabels: {a: 1}}", "5 spec.podSelector.matchLabels[a] 1: expected a string"],
  ["podSelector: {matchLabels: {a: yes}}", "5 spec.podSelector.matchLabels[a] true: expected"],
  ['podSelector: {matchLabels: {a: "-x"}}', '5 spec.podSelector.matchLabels[a] "-x": a label'],
  ["podSelector: {matchLabels: {-a: b}}", '5 spec.podSelector.matchLabels[-a] "-a": a label key'],
  ["podSelector: {matchLabels: {a/b/c: b}}", '5 spec.podSelector.matchLabels[a/b/c] "a/b/c"'],
  ["podSelector: {matchLabels: {A.b/c: b}}", '5 spec.podSelector.matchLabels[A.b/c] "A.b/c"'],
  [
    `podSelector: {matchLabels: {a: ${"x".repeat(64)}}}`,
    `5 spec.podSelector.matchLabels[a] "${"x".repeat(64)}": a label value has at most 63`,
  ],
  expression("{key: a, operator: in, values: [b]}", '.operator "in": expected one of'),
  expression("{key: a, values: [b]}", ".operator: expected one of"),
  expression("{operator: Exists}", '.key "": required'),
  expression("{key: a, operator: In}", ".values: required with operator In"),
  expression("{key: a, operator: NotIn, values: []}", ".values: required with operator NotIn"),
  expression("{key: a, operator: Exists, values: [b]}", ".values: not allowed"),
  expression("{key: a, operator: DoesNotExist, values: [b]}", ".values: not allowed"),
  expression("{key: a, operator: In, values: ['b c']}", '.values[0] "b c": a label value'),
  expression("{key: a, operator: In, values: [true]}", ".values[0] true: expected a string"),
  ["podSelector: {}\npolicyTypes: [ingress]", '6 spec.policyTypes[0] "ingress": expected Ingress'],
  ["podSelector: {}\npolicyTypes: [Ingress, Egress, Egress]", "6 spec.policyTypes: at most two"],
  ["podSelector: {}\npolicyTypes: Ingress", '6 spec.policyTypes "Ingress": expected a list'],
  port("{port: 0}", ".port 0: a port is an integer from 1 to 65535"),
  port("{port: 65536}", ".port 65536: a port is"),
  port("{port: 1.5}", ".port 1.5: expected an integer"),
  port('{port: "80"}', '.port "80": a port name has at least one letter'),
  port("{port: Http}", '.port "Http": a port name is a-z'),
  port("{port: a--b}", '.port "a--b": a port name has no'),
  port("{port: -ab}", '.port "-ab": a port name starts'),
  port("{port: abcdefghijklmnop}", '.port "abcdefghijklmnop": a port name has at most 15'),
  port("{port: true}", ".port true: expected an integer or a string"),
  port("{port: 80, endPort: 79}", ".endPort 79: it is below port 80"),
  port("{port: 80, endPort: 70000}", ".endPort 70000: a port is"),
  port('{port: 80, endPort: "90"}', '.endPort "90": expected a number'),
  port("{port: http, endPort: 90}", ".endPort 90: not allowed: port is a name"),
  port("{endPort: 90}", ".endPort 90: not allowed: there is no port"),
  port("{port: 80, protocol: tcp}", '.protocol "tcp": expected TCP, UDP or SCTP'),
  port("{port: 80, protocol: ICMP}", '.protocol "ICMP": expected'),
  port("{port: 80, protocol: 6}", ".protocol 6: expected a string"),
  port("{ports: 80}", ".ports: unknown field"),
  block("{}", ".ipBlock.cidr: required"),
  block("{cidr: 10.0.0.0}", '.ipBlock.cidr "10.0.0.0": expected address/prefix'),
  block("{cidr: 10.0.0.0/33}", '.ipBlock.cidr "10.0.0.0/33": prefix length "33"'),
  block("{cidr: 10.0.0.256/8}", '.ipBlock.cidr "10.0.0.256/8": octet "256"'),
  block("{cidr: 010.0.0.0/8}", '.ipBlock.cidr "010.0.0.0/8": octet "010"'),
  block("{cidr: 'fd00::/129'}", '.ipBlock.cidr "fd00::/129": prefix length'),
  block("{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}", ".ipBlock.except[0] "),
  block("{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}", '.ipBlock.except[0] "11.0.0.0/16": it must'),
  block("{cidr: 10.0.0.0/8, except: [0.0.0.0/0]}", '.ipBlock.except[0] "0.0.0.0/0": it must'),
  block("{cidr: 10.0.0.0/8, except: ['fd00::/16']}", '.ipBlock.except[0] "fd00::/16"'),
  block("{cidr: 'fd00::/8', except: [10.0.0.0/8]}", '.ipBlock.except[0] "10.0.0.0/8"'),
  block("{cidr: 'fd00::/16', except: ['fd01::/24']}", '.ipBlock.except[0] "fd01::/24": it must'),
  block("{cidr: 10.0.0.0/8, exept: []}", ".ipBlock.exept: unknown field"),
  block("{cidr: 10.0.0.0/8}, podSelector: {}", ".ipBlock: not allowed beside podSelector"),
  block("{cidr: 10.0.0.0/8}, namespaceSelector: {}", ".ipBlock: not allowed beside"),
];

function expression(text: string, error: string): [string, string] {
  return [
    `podSelector:\n  matchExpressions:\n  - ${text}`,
    `7 spec.podSelector.matchExpressions[0]${error}`,
  ];
}

function port(text: string, error: string): [string, string] {
  return [`podSelector: {}\ningress:\n- ports:\n  - ${text}`, `8 spec.ingress[0].ports[0]${error}`];
}

function block(text: string, error: string): [string, string] {
  return [
    `podSelector: {}\negress:\n- to:\n  - {ipBlock: ${text}}`,
    `8 spec.egress[0].to[0]${error}`,
  ];
}

for (const [spec, error] of INVALID_SPECS) {
  Deno.test(`policy refused: ${error.slice(0, 60)} <- ${spec.split("\n").at(-1)?.trim()}`, () => {
    const errors = errorsOf(policyText(spec));
    assert.equal(errors.length, 1, errors.join("\n"));
    assert(errors[0]?.startsWith(`p.yaml:${error}`), errors[0]);
  });
}

/** [text, start of the one error]. */
const INVALID_TEXTS: [text: string, error: string][] = [
  ["a: [", "p.yaml:1: "],
  [
    "apiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: a}",
    "p.yaml:3: Map keys must be unique",
  ],
  ["- 1", "p.yaml:1: expected a Kubernetes object"],
  ["kind: Pod", "p.yaml:1 apiVersion: required"],
  ["apiVersion: v1", "p.yaml:1 kind: required"],
  ["apiVersion: v1\nkind: Pod", "p.yaml:1 metadata: required"],
  ["apiVersion: v1\nkind: Pod\nmetadata: {}", "p.yaml:3 metadata.name: required"],
  ["apiVersion: v1\nkind: Pod\nmetadata: {name: A}", 'p.yaml:3 metadata.name "A": expected a DNS'],
  ["apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b.c}", "p.yaml:3 metadata.namespace"],
  ["apiVersion: v1\nkind: Pod\nmetadata: {name: a, lables: {}}", "p.yaml:3 metadata.lables: unkn"],
  [
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}",
    "p.yaml:3 metadata.namesp",
  ],
  ["apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}", 'p.yaml:3 metadata.name "a.b"'],
  ["apiVersion: extensions/v1beta1\nkind: NetworkPolicy", "p.yaml:2 kind "],
  ["apiVersion: v1\nkind: NetworkPolcy", 'p.yaml:2 kind "v1 NetworkPolcy": expected one of'],
  [
    "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy",
    "p.yaml:2 kind ",
  ],
  [`${HEAD}Spec: {}`, "p.yaml:4 Spec: unknown field"],
  [
    `${HEAD.replace("shop}", "shop, annotations: {novanet.io/mode: Audit}}")}`,
    'p.yaml:3 metadata.annotations[novanet.io/mode] "Audit": expected "audit" or "enforce"',
  ],
  own("annotations", "novanet.io/moed", "unknown; did you mean novanet.io/mode?"),
  own("annotations", "novanet.io/Mode", "unknown; did you mean novanet.io/mode?"),
  own("annotations", "NovaNet.io/mode", "unknown; did you mean novanet.io/mode?"),
  own(
    "labels",
    "novanet.io/mode",
    "no label of a policy; did you mean the annotation novanet.io/mode?",
  ),
  [
    `${HEAD}---\n${HEAD}`,
    'p.yaml:5 metadata.name "NetworkPolicy shop/p": the same object stands in line 1',
  ],
  [
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: B}",
    'p.yaml:6 items[0].metadata.name "B"',
  ],
  ["apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: 1}", "p.yaml:4 spec.hostN"],
  [podPort("{name: http}"), "p.yaml:6 spec.containers[0].ports[0].containerPort: required"],
  [podPort("{name: http, containerPort: 0}"), "p.yaml:6 spec.containers[0].ports[0].containerPort"],
  [podPort("{name: HTTP, containerPort: 1}"), 'p.yaml:6 spec.containers[0].ports[0].name "HTTP"'],
  [podPort("{name: http, port: 1, containerPort: 1}"), "p.yaml:6 spec.containers[0].ports[0].port"],
  ["a: !!python/object:x 1", "p.yaml:1: Unresolved tag"],
  ["1: a", "p.yaml:1: a key must be a string"],
  ["a: *x", "p.yaml:1: "],
];

function own(field: "annotations" | "labels", key: string, reason: string): [string, string] {
  return [
    HEAD.replace("shop}", `shop, ${field}: {${key}: audit}}`),
    `p.yaml:3 metadata.${field}[${key}] "audit": ${reason}`,
  ];
}

function podPort(text: string): string {
  return `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - {ports: [${text}]}`;
}

for (const [text, error] of INVALID_TEXTS) {
  Deno.test(`file refused: ${error.slice(7, 70)} <- ${text.split("\n").at(-1)?.slice(0, 50)}`, () => {
    const errors = errorsOf(text);
    assert.equal(errors.length, 1, errors.join("\n"));
    assert(errors[0]?.startsWith(error), errors[0]);
  });
}

Deno.test("all errors of a file are reported, in the order of the file", () => {
  const errors = errorsOf(policyText("podSelectr: {}\ningress:\n- ports:\n  - {port: 0}\n  - 5"));
  assert.deepEqual(errors.map((line) => line.split(": ")[0]), [
    "p.yaml:5 spec.podSelectr",
    "p.yaml:8 spec.ingress[0].ports[0].port 0",
    "p.yaml:9 spec.ingress[0].ports[1] 5",
  ]);
});

const POLICY_TYPES: [spec: string, ingress: boolean, egress: boolean][] = [
  ["podSelector: {}", true, false],
  ["podSelector: {}\npolicyTypes: []", true, false],
  ["podSelector: {}\npolicyTypes:", true, false],
  ["podSelector: {}\negress: []", true, false],
  ["podSelector: {}\negress: [{}]", true, true],
  ["podSelector: {}\ningress: [{}]", true, false],
  ["podSelector: {}\npolicyTypes: [Egress]", false, true],
  ["podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]", false, true],
  ["podSelector: {}\npolicyTypes: [Ingress]\negress: [{}]", true, false],
  ["podSelector: {}\npolicyTypes: [Egress, Ingress]", true, true],
];

for (const [spec, ingress, egress] of POLICY_TYPES) {
  Deno.test(`policyTypes of ${JSON.stringify(spec)}`, () => {
    assert.deepEqual(policy(spec).isolates, { ingress, egress });
  });
}

Deno.test("a policy with everything in it is read whole", () => {
  const read = policy(`podSelector:
  matchLabels: {app: web}
  matchExpressions:
  - {key: tier, operator: NotIn, values: [db, cache, db]}
ingress:
- from:
  - podSelector: {matchLabels: {role: client}}
    namespaceSelector: {}
  - ipBlock: {cidr: 10.1.2.3/8, except: [10.5.0.0/16]}
  - ipBlock: {cidr: 'fd00::/8'}
  ports:
  - {port: 80}
  - {port: 8000, endPort: 8100, protocol: UDP}
  - {port: http}
  - {protocol: SCTP}`);
  assert.deepEqual(read.podSelector.requirements, [
    { key: "app", operator: "In", values: ["web"] },
    { key: "tier", operator: "NotIn", values: ["cache", "db"] },
  ]);
  const [rule] = read.ingress;
  assert.equal(rule?.line, 10);
  assert.deepEqual(rule?.peers.map((peer) => peer.kind), ["pods", "block", "ipv6"]);
  const block = rule?.peers[1];
  assert(block?.kind === "block");
  assert.equal(`${block.cidr} ${block.except}`, "10.0.0.0/8 10.5.0.0/16");
  assert.deepEqual(rule?.ports, [
    { protocol: 6, match: { kind: "range", from: 80, to: 80 } },
    { protocol: 17, match: { kind: "range", from: 8000, to: 8100 } },
    { protocol: 6, match: { kind: "named", name: "http" } },
    { protocol: 132, match: { kind: "all" } },
  ]);
});

const WARNED: [spec: string, warning: string][] = [
  ["policyTypes: [Egress]", "p.yaml:5 spec.podSelector: absent"],
  ["podSelector: {}\negress: []", "p.yaml:6 spec.egress: empty and without policyTypes"],
  [
    "podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]",
    "p.yaml:7 spec.ingress: without effect",
  ],
  ["podSelector: {}\ningress:\n- from:", "p.yaml:7 spec.ingress[0].from null: nothing is written"],
  [
    "podSelector: {}\ningress:\n- from:\n  - ipBlock: {cidr: 10.0.0.1/8}",
    'p.yaml:8 spec.ingress[0].from[0].ipBlock.cidr "10.0.0.1/8": bits beyond the prefix',
  ],
  [
    "podSelector: {}\ningress:\n- from:\n  - ipBlock: {cidr: '::/0', except: ['fd00::/8']}",
    'p.yaml:8 spec.ingress[0].from[0].ipBlock.cidr "::/0": an IPv6 block matches nothing',
  ],
];

for (const [spec, warning] of WARNED) {
  Deno.test(`policy warned of: ${warning}`, () => {
    const { objects, errors, warnings } = parseManifest("p.yaml", policyText(spec));
    assert.deepEqual(errors, []);
    assert.equal(objects.length, 1);
    assert.equal(warnings.length, 1);
    const [line] = warnings.map(formatProblem);
    assert(line?.startsWith(warning), line);
  });
}

Deno.test("a pod's named ports come from containers and sidecars; hostNetwork is kept", () => {
  const { objects, errors } = parseManifest(
    "pod.yaml",
    `apiVersion: v1
kind: Pod
metadata: {name: web-0, labels: {app: web}}
spec:
  hostNetwork: true
  restartPolicy: Always
  containers:
  - {name: a, image: x, ports: [{name: http, containerPort: 80}, {containerPort: 81}]}
  - {name: b, ports: [{name: dns, containerPort: 53, protocol: UDP}]}
  initContainers:
  - {name: c, ports: [{name: setup, containerPort: 1}]}
  - {name: d, restartPolicy: Always, ports: [{name: mesh, containerPort: 15001, hostPort: 1}]}
status: {phase: Running}
`,
  );
  assert.deepEqual(errors, []);
  const pod = objects[0] as PodObject;
  assert.equal(`${pod.namespace}/${pod.name} ${pod.hostNetwork}`, "default/web-0 true");
  assert.deepEqual(pod.namedPorts, [
    { name: "dns", protocol: 17, port: 53 },
    { name: "http", protocol: 6, port: 80 },
    { name: "mesh", protocol: 6, port: 15001 },
  ]);
  assert.throws(() => Object.assign(pod, { name: "other" }), TypeError);
});

Deno.test("a namespace has its name for a label, whatever is written", () => {
  const text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: " +
    "{team: x, kubernetes.io/metadata.name: b}";
  const { objects, warnings } = parseManifest("n.yaml", text);
  assert.deepEqual([...(objects[0]?.kind === "Namespace" ? objects[0].labels : [])], [
    ["team", "x"],
    ["kubernetes.io/metadata.name", "a"],
  ]);
  assert.equal(warnings.length, 1);
});

Deno.test("documents, lists, anchors, merge keys and other kinds", () => {
  const { objects, errors, warnings } = parseManifest(
    "all.yaml",
    `# comment only
---
apiVersion: v1
kind: List
items:
- &pod
  apiVersion: v1
  kind: Pod
  metadata: {name: a, labels: {constructor: x}}
- <<: *pod
  metadata: {name: b, labels: {d: 2024-01-01, e: "1"}}
---
---
apiVersion: v1
kind: Service
metadata: {name: s}
...
`,
  );
  assert.deepEqual(errors.map(formatProblem), []);
  assert.deepEqual(objects.map((object) => object.name), ["a", "b"]);
  assert.deepEqual(objects.map((object) => object.source.line), [7, 10]);
  assert.deepEqual([...(objects[1] as PodObject).labels], [["d", "2024-01-01"], ["e", "1"]]);
  assert.equal(warnings.length, 1);
});

Deno.test("JSON is read as JSON, with lines", () => {
  const text = JSON.stringify(
    { apiVersion: "v1", kind: "Pod", metadata: { name: "a", labels: { "x/y": "\u00e9" } } },
    null,
    "\t",
  );
  assert.equal(
    errorsOf(text, "p.json")[0]?.split(": ")[0],
    'p.json:7 metadata.labels[x/y] "é"',
  );
  assert.deepEqual(errorsOf(text.replace("\u00e9", "e"), "p.json"), []);
  assert(errorsOf(text.replace("{", "{,"), "p.json")[0]?.includes("it is no JSON"));
  assert(errorsOf("apiVersion: v1", "p.json")[0]?.includes("it is no JSON"));
});

Deno.test("octal numbers are those of YAML 1.1, as Kubernetes reads them", () => {
  const read = policy("podSelector: {}\ningress:\n- ports:\n  - {port: 010}");
  assert.deepEqual(read.ingress[0]?.ports[0]?.match, { kind: "range", from: 8, to: 8 });
});

/** Texts that would cost too much, and what is said of them. */
const BOMBS: [name: string, text: string, error: string][] = [
  ["nested aliases", laughs(30), "more than 1000000 values"],
  ["a self-containing anchor", "a: &a [*a]", "p.yaml"],
  ["deep flow nesting", "[".repeat(100_000), "p.yaml"],
  ["deep closed nesting", "[".repeat(20_000) + "]".repeat(20_000), "p.yaml"],
  [
    "deep block nesting",
    Array.from({ length: 100 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"),
    "nested deeper than 64",
  ],
];

function laughs(levels: number): string {
  const lines = ["a0: &a0 [x, x]"];
  for (let i = 1; i < levels; i++) lines.push(`a${i}: &a${i} [*a${i - 1}, *a${i - 1}]`);
  return lines.join("\n");
}

for (const [name, text, error] of BOMBS) {
  Deno.test(`bounded: ${name}`, () => {
    const errors = errorsOf(text);
    assert(errors.length > 0);
    assert(errors.some((line) => line.includes(error)), errors.slice(0, 3).join("\n"));
  });
}
