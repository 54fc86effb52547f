import { compile, labelSet, ManifestStore, parseManifest } from "../../../agent/policy/mod.ts";
import { Ipv4 } from "../../../shared/net/mod.ts";
import { type FuzzTarget, must } from "../target.ts";

const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: shop, annotations: { novanet.io/mode: enforce } }
spec:
  podSelector: { matchLabels: { app: web }, matchExpressions: [{ key: tier, operator: In, values: [a, b] }] }
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector: {}
          namespaceSelector: { matchExpressions: [{ key: team, operator: Exists }] }
        - ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.3.4/32] }
      ports: [{ port: 80, endPort: 90 }, { port: http, protocol: UDP }, { protocol: SCTP }]
  egress:
    - to: [{ ipBlock: { cidr: 0.0.0.0/0 } }]
    - {}
`;
const OBJECTS = `apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web, tier: a } }
spec:
  hostNetwork: false
  containers: [{ ports: [{ name: http, containerPort: 8080, protocol: UDP }] }]
---
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: retail } }
---
apiVersion: v1
kind: List
items:
  - &first { apiVersion: v1, kind: Namespace, metadata: { name: other } }
  - { apiVersion: apps/v1, kind: Deployment, metadata: { name: x } }
`;
const JSON_FILE =
  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"x":"y"}},"spec":{}}`;
/** Each level stands for ten of the one before (a "billion laughs"). */
const BOMB = `a: &a [x,x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]
`;

/** Pieces of YAML, and of what Kubernetes objects are made of. */
export const YAML_TOKENS = [
  "null",
  "[]",
  "{}",
  "-1",
  '""',
  "*a",
  "&a ",
  "!!str ",
  "!!binary ",
  "<<: ",
]
  .concat([
    "\t",
    "\n",
    "  ",
    "'",
    '"',
    "#",
    ": ",
    "- ",
    "---\n",
    "...\n",
    "? ",
    "|\n",
    ">-\n",
    "%YAML 1.1\n",
  ])
  .concat(["\u0000", "\ufeff", "1e999", ".nan", "0x10", "0o7", "65536", "0.0.0.0/0", "::/0", "/33"])
  .concat([
    "podSelector",
    "namespaceSelector",
    "ipBlock",
    "except",
    "ports",
    "endPort",
    "novanet.io/mode",
  ])
  .concat([
    "audit",
    "Ingress",
    "NotIn",
    "DoesNotExist",
    "matchExpressions",
    "TCP",
    "UDP",
    "SCTP",
    "http",
  ]);

/** Whole files. */
export const MANIFESTS: readonly string[] = [
  POLICY,
  OBJECTS,
  JSON_FILE,
  `${POLICY}---\n${OBJECTS}`,
  BOMB,
];

const LONGEST_MS = 3000;
const ATTEMPTS = 4;

const endpoint = (host: number, namespace: string, labels: Readonly<Record<string, string>>) => ({
  namespace,
  name: `pod-${host}`,
  identity: 256 + host,
  labels: labelSet(labels),
  namedPorts: [{ name: "http", protocol: 17, port: 8080 }] as const,
  ip: Ipv4.fromU32(0x0af40000 + host),
});

const ENDPOINTS = [
  endpoint(2, "shop", { app: "web", tier: "a" }),
  endpoint(3, "shop", {}),
  endpoint(4, "other", { app: "web" }),
];

/** Reads a file, and compiles what is in force then. @returns what came of it */
function take(file: string, text: string): string {
  const { objects, errors } = parseManifest(file, text);
  if (errors.length > 0) {
    must(objects.length === 0, "a file with errors has objects");
    for (const { line, reason } of errors) {
      must(line >= 0 && reason !== "", `a problem says nothing: line ${line}, ${reason}`);
    }
    return errors[0]!.reason.replaceAll(/"[^"]*"|\d+/g, "#").slice(0, 60);
  }
  const store = new ManifestStore();
  store.setFile(file, text);
  const { policies } = compile(store.snapshot(), ENDPOINTS);
  for (const { dstPort, portPrefixLen } of policies) {
    must(
      dstPort >= 0 && dstPort <= 65535 && portPrefixLen <= 16,
      `port ${dstPort}/${portPrefixLen}`,
    );
  }
  return `${objects.length} objects, ${Math.min(policies.length, 64)} entries`;
}

/** Files of Kubernetes objects. */
export const manifest: FuzzTarget = {
  name: "manifest",
  what: "YAML and JSON manifests: the parser and the policy compiler, in-process",
  tokens: YAML_TOKENS,
  seeds: () => MANIFESTS.map((text) => new TextEncoder().encode(text)),
  open: () =>
    Promise.resolve({
      run(input: Uint8Array): string {
        const text = new TextDecoder().decode(input);
        const file = text.startsWith("{") ? "fuzz.json" : "fuzz.yaml";
        let outcome = "";
        // Again when it took long: the machine may have had something else to do.
        for (let left = ATTEMPTS, ms = Infinity; ms > LONGEST_MS; left--) {
          must(left > 0, `${input.length} bytes take ${Math.round(ms / 1000)} s`);
          const startedMs = performance.now();
          outcome = take(file, text);
          ms = performance.now() - startedMs;
        }
        return outcome;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};
