import assert from "node:assert/strict";
import { Ipv4 } from "../../shared/net/mod.ts";
import { memoryIds } from "./compile.ts";
import type { DesiredPolicy } from "./entries.ts";
import { IdentityConflictError, type PolicyEndpoint } from "./identity_group.ts";
import { labelSet } from "./objects/types.ts";
import { PolicyIndex } from "./policy_index.ts";
import { readPolicy } from "./testing/endpoints.ts";

/** A desired set as sorted text, to compare. */
function lines(desired: DesiredPolicy): string[] {
  const { policies, cidrIdentities, ruleNames } = desired;
  return [...policies, ...cidrIdentities, ...Object.entries(ruleNames)]
    .map((item) => JSON.stringify(item)).sort();
}

function endpoint(name: string, identity: number, ip: string, labels = {}): PolicyEndpoint {
  const all = labelSet({ "novanet.io/namespace": "shop", ...labels });
  return { namespace: "shop", name, identity, labels: all, namedPorts: [], ip: Ipv4.parse(ip) };
}

function policy(name: string, spec: object): ReturnType<typeof readPolicy> {
  return readPolicy({ metadata: { namespace: "shop", name }, spec: { podSelector: {}, ...spec } });
}

const WEB = endpoint("web", 300, "10.244.0.1", { app: "web" });
const DB = endpoint("db", 301, "10.244.0.2", { app: "db" });

/** Entries but the node's two, as `direction src->dst protocol:port/len rule`. */
function entriesOf(index: PolicyIndex): string[] {
  const { policies, ruleNames } = index.desired();
  return policies.filter(({ ruleId }) => ruleId !== 3).map((entry) => {
    const { direction, srcIdentity, dstIdentity, protocol, dstPort, portPrefixLen } = entry;
    const ports = `${protocol}:${dstPort}/${portPrefixLen}`;
    const verdict = entry.isolation ? "isolated" : ports;
    return `${direction} ${srcIdentity}->${dstIdentity} ${verdict} ${ruleNames[entry.ruleId]}`;
  }).sort();
}

function indexOf(...policies: ReturnType<typeof readPolicy>[]): PolicyIndex {
  const index = new PolicyIndex(memoryIds());
  for (const item of [WEB, DB]) index.upsertEndpoint(item);
  for (const item of policies) index.addPolicy(item);
  return index;
}

const COMPILED: [name: string, policies: ReturnType<typeof readPolicy>[], entries: string[]][] = [
  ["no policy", [], []],
  ["default deny", [policy("deny", {})], [
    "1 0->300 isolated shop/deny:ingress[default-deny]",
    "1 0->301 isolated shop/deny:ingress[default-deny]",
  ]],
  ["allow all needs one entry an identity", [
    policy("all", { podSelector: { matchLabels: { app: "db" } }, ingress: [{}] }),
  ], [
    "1 0->301 0:0/0 shop/all:ingress[0]",
    "1 0->301 isolated shop/all:ingress[default-deny]",
  ]],
  ["a block of all addresses is anyone", [
    policy("all", {
      podSelector: { matchLabels: { app: "db" } },
      policyTypes: ["Egress"],
      egress: [{
        to: [{ ipBlock: { cidr: "0.0.0.0/0" } }],
        ports: [{ port: 53, protocol: "UDP" }],
      }],
    }),
  ], [
    "2 301->0 17:53/0 shop/all:egress[0]",
    "2 301->0 isolated shop/all:egress[default-deny]",
  ]],
  ["policies that isolate together are named together; what is covered has no entry", [
    policy("b", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [
        { from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: 80 }] },
        { from: [{ podSelector: {} }] },
      ],
    }),
    policy("a", {
      podSelector: { matchExpressions: [{ key: "app", operator: "In", values: ["db"] }] },
    }),
  ], [
    "1 0->301 isolated shop/a,shop/b:ingress[default-deny]",
    "1 300->301 0:0/0 shop/b:ingress[1]",
    "1 301->301 0:0/0 shop/b:ingress[1]",
  ]],
  ["neighbouring ports and ranges become prefixes", [
    policy("p", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [{ ports: [{ port: 81 }, { port: 80 }, { port: 1024, endPort: 65535 }] }],
    }),
  ], [
    "1 0->301 6:1024/6 shop/p:ingress[0]",
    "1 0->301 6:16384/2 shop/p:ingress[0]",
    "1 0->301 6:2048/5 shop/p:ingress[0]",
    "1 0->301 6:32768/1 shop/p:ingress[0]",
    "1 0->301 6:4096/4 shop/p:ingress[0]",
    "1 0->301 6:80/15 shop/p:ingress[0]",
    "1 0->301 6:8192/3 shop/p:ingress[0]",
    "1 0->301 isolated shop/p:ingress[default-deny]",
  ]],
  ["a port name that no pod has allows nothing", [
    policy("p", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [{ ports: [{ port: "http" }] }],
      egress: [{ ports: [{ port: "http" }] }],
    }),
  ], [
    "1 0->301 isolated shop/p:ingress[default-deny]",
    "2 301->0 isolated shop/p:egress[default-deny]",
  ]],
  ["an IPv6 block alone allows nobody, not everybody", [
    policy("p", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [{ from: [{ ipBlock: { cidr: "fd00::/8" } }] }],
    }),
  ], ["1 0->301 isolated shop/p:ingress[default-deny]"]],
];

for (const [name, policies, entries] of COMPILED) {
  Deno.test(`entries: ${name}`, () => {
    assert.deepEqual(entriesOf(indexOf(...policies)), entries);
  });
}

Deno.test("nested CIDRs inherit the rules around them, exceptions do not", () => {
  const index = indexOf(
    policy("p", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [
        { from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }] },
        { from: [{ ipBlock: { cidr: "10.1.2.0/24" } }], ports: [{ port: 80 }] },
        { from: [{ ipBlock: { cidr: "10.2.0.0/16" } }], ports: [{ port: 443 }] },
      ],
    }),
  );
  const { cidrIdentities, policies } = index.desired();
  const allowed = cidrIdentities.map(({ cidrIp, prefixLen, identityId }) => {
    assert(identityId >= 2 ** 24);
    const ports = policies.filter(({ srcIdentity }) => srcIdentity === identityId)
      .map(({ protocol, dstPort }) => `${protocol}:${dstPort}`);
    return `${Ipv4.fromU32(cidrIp)}/${prefixLen} ${ports}`;
  });
  assert.deepEqual(allowed.sort(), [
    "10.0.0.0/8 0:0",
    "10.1.0.0/16 ",
    "10.1.2.0/24 6:80",
    "10.2.0.0/16 0:0",
  ]);
});

Deno.test("ids stay with their rules and CIDRs over changes", () => {
  const index = indexOf(
    policy("a", { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8" } }] }] }),
  );
  const before = index.desired();
  index.takeChanges();
  index.addPolicy(policy("b", { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/9" } }] }] }));
  index.removePolicy("shop", "a");
  index.addPolicy(policy("a", { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8" } }] }] }));
  index.removePolicy("shop", "b");
  assert.deepEqual(lines(index.desired()), lines(before));
  assert.equal(index.takeChanges().empty, true);
});

Deno.test("endpoints of one identity are one; another kind of pod cannot take it", () => {
  const index = indexOf(policy("deny", {}));
  index.takeChanges();
  index.upsertEndpoint(endpoint("web-2", 300, "10.244.0.9", { app: "web" }));
  assert.equal(index.takeChanges().empty, true);
  index.removeEndpoint(WEB.ip);
  assert.equal(index.takeChanges().empty, true);
  assert.throws(
    () => index.upsertEndpoint(endpoint("x", 300, "10.244.0.8", { app: "db" })),
    IdentityConflictError,
  );
  index.removeEndpoint(Ipv4.parse("10.244.0.9"));
  index.upsertEndpoint(endpoint("x", 300, "10.244.0.8", { app: "db" }));
  assert.equal(entriesOf(index).length, 2);
});

Deno.test("explain names every policy, rule, file and line", () => {
  const index = indexOf(
    policy("wide", { ingress: [{ from: [{ podSelector: {} }] }] }),
    policy("narrow", {
      ingress: [{
        from: [
          { podSelector: { matchLabels: { app: "web" } } },
          { ipBlock: { cidr: "10.0.0.0/8" } },
        ],
        ports: [{ port: 80, endPort: 81 }],
      }],
    }),
  );
  const { ingress, egress } = index.explain(DB.identity);
  assert.deepEqual(egress, { isolatedBy: [], auditedBy: [], mode: undefined, allows: [] });
  assert.equal(ingress.mode, "enforce");
  assert.deepEqual(ingress.isolatedBy.map(({ name }) => name), ["narrow", "wide"]);
  const allows = ingress.allows.map((allow) => {
    const { peer, cidr, pods, protocol, fromPort, toPort, hasEntry, origins } = allow;
    const who = cidr?.toString() ?? pods?.labels.get("app") ?? peer;
    return `${who} ${protocol}:${fromPort}-${toPort} ${hasEntry} ${
      origins.map(({ rule }) => rule)
    }`;
  });
  assert.deepEqual(allows.sort(), [
    "10.0.0.0/8 6:80-81 true shop/narrow:ingress[0]",
    "db 0:0-65535 true shop/wide:ingress[0]",
    "web 0:0-65535 true shop/wide:ingress[0]",
    "web 6:80-81 false shop/narrow:ingress[0]",
  ]);
  assert.deepEqual(ingress.allows[0]?.origins[0]?.source, { file: "policy.json", line: 1 });
});

Deno.test("explain tells policies in audit mode apart, and which of both count", () => {
  const audit = (name: string): ReturnType<typeof readPolicy> => ({
    ...policy(name, { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] }),
    mode: "audit",
  });
  const enforced = policy("hard", { podSelector: { matchLabels: { app: "db" } } });
  const index = indexOf(audit("soft"), enforced);
  const told = ({ identity }: PolicyEndpoint) => {
    const { isolatedBy, auditedBy, mode, allows } = index.explain(identity).ingress;
    return [isolatedBy, auditedBy].map((origins) => origins.map(({ name }) => name).join())
      .concat(mode ?? "", `${allows.length}`);
  };
  assert.deepEqual(told(DB), ["hard", "soft", "enforce", "0"]);
  assert.deepEqual(told(WEB), ["", "soft", "audit", "1"]);
  index.removePolicy("shop", "hard");
  assert.deepEqual(told(DB), ["", "soft", "audit", "1"]);
});
