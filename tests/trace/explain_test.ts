/** `policy explain`, `policy` and `flows` of policies that are enforced and audited. */
import assert from "node:assert/strict";
import { tryCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { udp } from "../../shared/testing/packets.ts";
import { sendPacket } from "../../shared/testing/sockets.ts";
import { scenario } from "../scenarios/scenario.ts";

const OBJECTS = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { containers: [{ name: main, ports: [{ name: http, containerPort: 8080 }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress:
  - from:
    - podSelector: { matchLabels: { app: api } }
    - ipBlock: { cidr: 198.51.100.0/24, except: [198.51.100.128/25] }
    ports: [{ port: http }, { port: 9000, endPort: 9010 }]
  - from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: nobody } } }]
  - ports: [{ port: htpp }, { port: http, protocol: UDP }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: also, namespace: shop }
spec: { podSelector: {}, policyTypes: [Ingress], ingress: [{ ports: [{ port: 53, protocol: UDP }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: tryout, namespace: shop, annotations: { novanet.io/mode: audit } }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress, Egress]
  egress: [{ to: [{ podSelector: {} }] }]
`;

const EXPLAINED = `Pod shop/web 10.244.0.2, identity N \
(app=web,novanet.io/namespace=shop,novanet.io/ports=http:tcp/8080)

Ingress: isolated, only what a rule allows passes
  isolated by shop/also, objects.yaml:20
  isolated by shop/web, objects.yaml:7
  audited by shop/tryout, objects.yaml:25, without effect: others isolate
  rule shop/also:ingress[0], objects.yaml:23
    from everybody
    port UDP 53
  rule shop/web:ingress[0], objects.yaml:13
    from pods shop app=api: api, api-2
         198.51.100.0/24 except 198.51.100.128/25
    port TCP 8080, TCP 9000-9010
  rule shop/web:ingress[1], objects.yaml:17
    nobody: no pod matches it now
  rule shop/web:ingress[2], objects.yaml:18
    port htpp: this pod has no port of that name
    port http UDP: this pod has no port of that name
  rule node
    from the node: always allowed
  otherwise DENY by shop/also,shop/web:ingress[default-deny]

Egress: audited, everything passes and what no rule allows is reported
  audited by shop/tryout, objects.yaml:25
  rule shop/tryout:egress[0], objects.yaml:31
    to   pods shop app=api: api, api-2
         pods shop app=web: web
    port all protocols and ports
  rule node
    to the node: always allowed
  otherwise AUDIT by shop/tryout:egress[audit]
`;

const explain = async (node: LabNode, pod: string) =>
  (await node.ctl("policy", "explain", pod)).replaceAll(/identity \d+/g, "identity N")
    .replaceAll(/\S*\/objects.yaml/g, "objects.yaml");

scenario("policy explain, and audit in the listings", {}, async ({ node, step }) => {
  await node.writeManifest("objects.yaml", OBJECTS);
  await node.addPod("web", { namespace: "shop" });
  await node.addPod("api", { namespace: "shop", labels: { app: "api" } });
  await node.addPod("api-2", { namespace: "shop", labels: { app: "api" } });
  await node.untilRules((rules) => rules.includes("shop/tryout:egress[audit]"));

  await step("every rule with its place, its peers and its ports", async () => {
    assert.equal(await explain(node, "shop/web"), EXPLAINED);
  });
  await step("as JSON, with the names of the proto", async () => {
    const { ingress, egress } = JSON.parse(
      await node.ctl("policy", "explain", "shop/web", "--json"),
    );
    assert.deepEqual(ingress.isolated_by.map((policy: { name: string }) => policy.name), [
      "also",
      "web",
    ]);
    assert.deepEqual([ingress.mode, ingress.otherwise], ["enforce", "DENY"]);
    assert.deepEqual([egress.mode, egress.otherwise], ["audit", "AUDIT"]);
    assert.deepEqual(ingress.rules[1].allows[0].blocks, [
      { cidr: "198.51.100.0/24", except: ["198.51.100.128/25"] },
    ]);
  });
  await step("a pod that no policy selects, and one that is not there", async () => {
    await node.addPod("other", { namespace: "office" });
    assert.match(
      await explain(node, "office/other"),
      /Ingress: no policy isolates it, everything is allowed\n/,
    );
    const argv = node.ctlArgv("policy", "explain", "shop/nosuch");
    const { code, stderr } = await tryCommand(argv);
    assert.equal(code, 4);
    assert.match(stderr, /pod "shop\/nosuch": there is no such pod on this node/);
  });
  await step("a pod by its address", async () => {
    const { pod } = JSON.parse(await node.ctl("policy", "explain", "shop/web", "--json"));
    assert.equal(await explain(node, pod.ip), await explain(node, "shop/web"));
    const nobody = await tryCommand(node.ctlArgv("policy", "suggest", "192.0.2.1"));
    assert.equal(nobody.code, 4);
    assert.match(nobody.stderr, /there is no pod with the address 192\.0\.2\.1 on this node/);
  });
  await step("flows and the policy listing mark what audit would deny", async () => {
    const web = await node.addPod("web", { namespace: "shop" });
    const outside = node.addresses.outside;
    const flows = node.netns.start(
      node.ctlArgv(..."flows --verdict audit --limit 1 --json".split(" ")),
    );
    let srcPort = 20_000;
    await eventually(() => {
      if (flows.exited) return true;
      sendPacket(web.netns, { src: web.ip, dst: outside }, udp({ srcPort: ++srcPort, dstPort: 9 }));
      return false;
    }, { intervalMs: 20, what: "a flow that audit would deny" });
    const { verdict, rule, dst_ip } = JSON.parse((await flows.wait()).stdout);
    assert.deepEqual([verdict, rule, dst_ip], ["AUDIT", "shop/tryout:egress[audit]", outside]);
    const listed = (await node.ctl("policy", "--no-headers")).trim().split("\n")
      .map((line) => line.split("\t")).filter(([, , , , action]) => action === "AUDIT");
    assert.deepEqual(listed.map((cells) => cells.slice(5)), [[
      "EGRESS",
      "shop/tryout:egress[audit]",
    ]]);
  });
  await step("trace and flows of a pod that is not there", async () => {
    for (
      const [args, says] of [
        ["flows --pod shop/nosuch", /--pod shop\/nosuch: there is no such pod on this node/],
        [
          "trace --from shop/nosuch --to shop/web --port 80",
          /from "shop\/nosuch": there is no such/,
        ],
        [
          "trace --from shop/web --to nosuch --port 80",
          /to "default\/nosuch": there is no such pod/,
        ],
        ["policy suggest shop/nosuch", /pod "shop\/nosuch": there is no such pod on this node/],
      ] as const
    ) {
      const { code, stderr } = await tryCommand(node.ctlArgv(...args.split(" ")));
      assert.equal(code, 4, args);
      assert.match(stderr, says);
    }
    const loopback = node.ctlArgv(..."trace --from 127.0.0.1 --to shop/web --port 80".split(" "));
    assert.match((await tryCommand(loopback)).stderr, /from "127\.0\.0\.1": nobody sends from/);
  });
});
