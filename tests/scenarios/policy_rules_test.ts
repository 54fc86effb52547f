import assert from "node:assert/strict";
import { type PartyName, PolicyWorld, type Service } from "./policy_world.ts";
import { scenario } from "./scenario.ts";

/** What becomes of a packet: "allowed", or the part of the rule's name that follows the policy's. */
type Fate = "allowed" | `${"ingress" | "egress"}[${number | "default-deny"}]`;

const DENIED: Fate = "ingress[default-deny]";
const NO_WAY_OUT: Fate = "egress[default-deny]";

interface Row {
  readonly what: string;
  /** Specifications of the policy; its namespace is shop. */
  readonly spec: string;
  readonly probes: readonly (readonly [PartyName, PartyName, Service, Fate])[];
}

const WEB = "podSelector: { matchLabels: { app: web } }";

const ROWS: readonly Row[] = [
  {
    what: "no rule: what is selected is isolated, in ingress alone",
    spec: WEB,
    probes: [
      ["shop/api", "shop/web", "TCP/80", DENIED],
      ["office/client", "shop/web", "UDP/53", DENIED],
      ["outside", "shop/web", "TCP/80", DENIED],
      ["shop/api", "shop/web", "ICMP", DENIED],
      ["shop/api", "shop/web", "SCTP/80", DENIED],
      ["shop/web", "shop/api", "TCP/80", "allowed"],
      ["shop/web", "outside", "UDP/53", "allowed"],
      ["office/client", "shop/api", "TCP/80", "allowed"],
      ["office/client", "office/web", "TCP/80", "allowed"],
    ],
  },
  {
    what: "the node reaches an isolated pod, and is reached by one",
    spec: `${WEB}, policyTypes: [Ingress, Egress]`,
    probes: [
      ["node", "shop/web", "TCP/80", "allowed"],
      ["node", "shop/web", "UDP/53", "allowed"],
      ["node", "shop/web", "SCTP/80", "allowed"],
      ["node", "shop/web", "ICMP", "allowed"],
      ["shop/web", "node", "TCP/80", "allowed"],
      ["shop/web", "outside", "TCP/80", NO_WAY_OUT],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "an empty podSelector selects the namespace",
    spec: "podSelector: {}",
    probes: [
      ["office/client", "shop/web", "TCP/80", DENIED],
      ["office/client", "shop/api", "TCP/80", DENIED],
      ["shop/web", "shop/api", "TCP/80", DENIED],
      ["shop/web", "office/web", "TCP/80", "allowed"],
    ],
  },
  {
    what: "an empty rule allows everything",
    spec: `${WEB}, ingress: [{}]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["outside", "shop/web", "SCTP/80", "allowed"],
      ["office/client", "shop/web", "ICMP", "allowed"],
    ],
  },
  {
    what: "podSelector: pods of the policy's namespace",
    spec: `${WEB}, ingress: [{ from: [{ podSelector: { matchLabels: { app: api } } }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["shop/api", "shop/web", "ICMP", "allowed"],
      ["office/client", "shop/web", "TCP/80", DENIED],
      ["198.51.100.7", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "podSelector: a pod with the same labels in another namespace is another one",
    spec: `podSelector: { matchLabels: { app: api } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }]`,
    probes: [
      ["shop/web", "shop/api", "TCP/80", "allowed"],
      ["office/web", "shop/api", "TCP/80", DENIED],
    ],
  },
  {
    what: "matchExpressions",
    spec: `podSelector: { matchExpressions: [{ key: app, operator: In, values: [web, db] }] },
      ingress: [{ from: [{ podSelector: { matchExpressions: [
        { key: tier, operator: Exists }, { key: tier, operator: NotIn, values: [front] } ] } }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["office/client", "shop/web", "TCP/80", DENIED],
      ["office/client", "shop/api", "TCP/80", "allowed"],
    ],
  },
  {
    what: "namespaceSelector",
    spec: `${WEB}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: staff } } }] }]`,
    probes: [
      ["office/client", "shop/web", "TCP/80", "allowed"],
      ["office/web", "shop/web", "TCP/80", "allowed"],
      ["shop/api", "shop/web", "TCP/80", DENIED],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "an empty namespaceSelector: all pods, and nobody else",
    spec: `${WEB}, ingress: [{ from: [{ namespaceSelector: {} }] }]`,
    probes: [
      ["office/client", "shop/web", "TCP/80", "allowed"],
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "both selectors in one peer: both must match",
    spec: `${WEB}, ingress: [{ from: [{
      namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: office } },
      podSelector: { matchLabels: { app: client } } }] }]`,
    probes: [
      ["office/client", "shop/web", "TCP/80", "allowed"],
      ["office/web", "shop/web", "TCP/80", DENIED],
      ["shop/api", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "both selectors in two peers: either may match",
    spec: `${WEB}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: staff } } },
      { podSelector: { matchLabels: { app: api } } }] }]`,
    probes: [
      ["office/client", "shop/web", "TCP/80", "allowed"],
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "ipBlock with except, ingress",
    spec: `${WEB}, ingress: [{ from: [
      { ipBlock: { cidr: 198.51.100.0/24, except: [198.51.100.128/25] } }] }]`,
    probes: [
      ["198.51.100.7", "shop/web", "TCP/80", "allowed"],
      ["198.51.100.130", "shop/web", "TCP/80", DENIED],
      ["outside", "shop/web", "TCP/80", DENIED],
      ["shop/api", "shop/web", "TCP/80", DENIED],
      ["node", "shop/web", "TCP/80", "allowed"],
    ],
  },
  {
    what: "ipBlock with except, egress",
    spec: `${WEB}, policyTypes: [Egress], egress: [{ to: [
      { ipBlock: { cidr: 198.51.100.0/24, except: [198.51.100.128/25] } }] }]`,
    probes: [
      ["shop/web", "198.51.100.7", "TCP/80", "allowed"],
      ["shop/web", "198.51.100.7", "ICMP", "allowed"],
      ["shop/web", "198.51.100.130", "TCP/80", NO_WAY_OUT],
      ["shop/web", "outside", "UDP/53", NO_WAY_OUT],
      ["shop/web", "shop/api", "TCP/80", NO_WAY_OUT],
      ["outside", "shop/web", "TCP/80", "allowed"],
      ["198.51.100.130", "shop/web", "TCP/80", "allowed"],
    ],
  },
  {
    what: "blocks within blocks: what one excepts another may allow",
    spec: `${WEB}, ingress: [
      { from: [{ ipBlock: { cidr: 198.51.100.0/24, except: [198.51.100.128/25] } }], ports: [{ port: 80 }] },
      { from: [{ ipBlock: { cidr: 198.51.100.130/32 } }], ports: [{ port: 443 }] },
      { from: [{ ipBlock: { cidr: 0.0.0.0/0 } }], ports: [{ port: 8443 }] }]`,
    probes: [
      ["198.51.100.7", "shop/web", "TCP/80", "allowed"],
      ["198.51.100.7", "shop/web", "TCP/443", DENIED],
      ["198.51.100.7", "shop/web", "TCP/8443", "allowed"],
      ["198.51.100.130", "shop/web", "TCP/80", DENIED],
      ["198.51.100.130", "shop/web", "TCP/443", "allowed"],
      ["198.51.100.130", "shop/web", "TCP/8443", "allowed"],
      ["outside", "shop/web", "TCP/8443", "allowed"],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "an ipBlock covers pods too",
    spec: `${WEB}, ingress: [{ from: [{ ipBlock: { cidr: 10.244.0.0/24 } }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["outside", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "ports: TCP unless said otherwise",
    spec:
      `${WEB}, ingress: [{ ports: [{ port: 80 }, { port: 53, protocol: UDP }, { port: 36412, protocol: SCTP }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["shop/api", "shop/web", "UDP/80", DENIED],
      ["shop/api", "shop/web", "TCP/81", DENIED],
      ["outside", "shop/web", "UDP/53", "allowed"],
      ["outside", "shop/web", "TCP/53", DENIED],
      ["office/client", "shop/web", "SCTP/36412", "allowed"],
      ["office/client", "shop/web", "SCTP/36413", DENIED],
      ["shop/api", "shop/web", "ICMP", DENIED],
    ],
  },
  {
    what: "a protocol without a port: all its ports",
    spec: `${WEB}, ingress: [{ ports: [{ protocol: UDP }] }]`,
    probes: [
      ["shop/api", "shop/web", "UDP/1", "allowed"],
      ["outside", "shop/web", "UDP/65535", "allowed"],
      ["shop/api", "shop/web", "TCP/1", DENIED],
    ],
  },
  {
    what: "endPort: both ends and what is between",
    spec: `${WEB}, ingress: [{ ports: [{ port: 1000, endPort: 2047 }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/999", DENIED],
      ["shop/api", "shop/web", "TCP/1000", "allowed"],
      ["shop/api", "shop/web", "TCP/1023", "allowed"],
      ["shop/api", "shop/web", "TCP/1024", "allowed"],
      ["outside", "shop/web", "TCP/1777", "allowed"],
      ["shop/api", "shop/web", "TCP/2047", "allowed"],
      ["shop/api", "shop/web", "TCP/2048", DENIED],
      ["shop/api", "shop/web", "UDP/1000", DENIED],
    ],
  },
  {
    what: "a named port is each pod's own, ingress",
    spec: "podSelector: {}, ingress: [{ ports: [{ port: http }, { port: dns, protocol: UDP }] }]",
    probes: [
      ["office/client", "shop/web", "TCP/8080", "allowed"],
      ["office/client", "shop/web", "TCP/9090", DENIED],
      ["office/client", "shop/api", "TCP/9090", "allowed"],
      ["office/client", "shop/api", "TCP/8080", DENIED],
      ["office/client", "shop/web", "UDP/53", "allowed"],
      ["office/client", "shop/api", "UDP/53", DENIED],
      ["office/client", "shop/web", "TCP/53", DENIED],
    ],
  },
  {
    what: "a named port is each pod's own, egress",
    spec:
      `${WEB}, policyTypes: [Egress], egress: [{ to: [{ podSelector: {} }], ports: [{ port: http }] }]`,
    probes: [
      ["shop/web", "shop/api", "TCP/9090", "allowed"],
      ["shop/web", "shop/api", "TCP/8080", NO_WAY_OUT],
      ["shop/web", "office/web", "TCP/9090", NO_WAY_OUT],
      ["shop/web", "outside", "TCP/9090", NO_WAY_OUT],
    ],
  },
  {
    what: "a named port that no pod has opens nothing",
    spec: `${WEB}, ingress: [{ ports: [{ port: metrics }] }]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", DENIED],
      ["shop/api", "shop/web", "TCP/8080", DENIED],
    ],
  },
  {
    what: "egress to selected pods, on one port",
    spec: `${WEB}, policyTypes: [Egress], egress: [{
      to: [{ namespaceSelector: { matchLabels: { team: staff } }, podSelector: { matchLabels: { app: web } } }],
      ports: [{ port: 443 }] }]`,
    probes: [
      ["shop/web", "office/web", "TCP/443", "allowed"],
      ["shop/web", "office/web", "TCP/80", NO_WAY_OUT],
      ["shop/web", "office/client", "TCP/443", NO_WAY_OUT],
      ["shop/api", "office/client", "TCP/443", "allowed"],
      ["office/web", "shop/web", "TCP/80", "allowed"],
    ],
  },
  {
    what: "egress rules make a policy of both types where policyTypes is left out",
    spec: `${WEB}, egress: [{ to: [{ podSelector: { matchLabels: { app: api } } }] }]`,
    probes: [
      ["shop/web", "shop/api", "TCP/80", "allowed"],
      ["shop/web", "office/web", "TCP/80", NO_WAY_OUT],
      ["shop/api", "shop/web", "TCP/80", DENIED],
    ],
  },
  {
    what: "policyTypes without Ingress: ingress rules mean nothing",
    spec: `${WEB}, policyTypes: [Egress], ingress: [], egress: [{}]`,
    probes: [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["shop/web", "outside", "TCP/80", "allowed"],
    ],
  },
];

const manifest = (name: string, { spec }: Row) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec: { ${spec} }
`;

scenario("what policies allow and drop", {}, async ({ lab, node, step }) => {
  const world = await PolicyWorld.make(lab, node);
  const expectFates = async (name: string, probes: Row["probes"]) => {
    const fates = await Promise.all(
      probes.map(([from, to, service]) => world.probe(from, to, service)),
    );
    const told = (fate: (index: number) => string) =>
      probes.map(([from, to, service], index) => `${from} -> ${to} ${service}: ${fate(index)}`);
    assert.deepEqual(
      told((index) => fates[index] ?? ""),
      told((index) =>
        probes[index]?.[3] === "allowed" ? "allowed" : `shop/${name}:${probes[index]?.[3]}`
      ),
    );
  };

  await step("without a policy everybody may", () =>
    expectFates("", [
      ["shop/api", "shop/web", "TCP/80", "allowed"],
      ["office/client", "shop/web", "UDP/53", "allowed"],
      ["outside", "shop/web", "SCTP/7", "allowed"],
      ["198.51.100.130", "shop/web", "ICMP", "allowed"],
      ["shop/web", "198.51.100.7", "TCP/80", "allowed"],
    ]));

  for (const [index, row] of ROWS.entries()) {
    await step(row.what, async () => {
      const name = `row-${index}`;
      await world.apply(
        manifest(name, row),
        (rules) => rules.some((rule) => rule.startsWith(`shop/${name}:`)),
      );
      await expectFates(name, row.probes);
    });
  }

  await step("without the file everybody may again", async () => {
    await node.removeManifest("policy.yaml");
    await world.until((rules) => rules.every((rule) => !rule.startsWith("shop/row-")));
    await expectFates("", [["shop/api", "shop/web", "TCP/80", "allowed"]]);
  });
});
