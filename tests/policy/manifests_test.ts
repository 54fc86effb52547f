import assert from "node:assert/strict";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { scenario } from "../scenarios/scenario.ts";
import { type Fate, PolicyNode } from "./policy_node.ts";

const policy = (spec: string) =>
  `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: guard
  namespace: shop
spec:
${spec}
`;

const GOOD = policy(`  podSelector: {}
  ingress:
    - ports: [{ port: 80 }]`);
const RULE = "shop/guard:ingress[default-deny]";
const ALLOWED = { verdict: "allow", rule: "shop/guard:ingress[0]" };
const DENIED = { verdict: "deny", rule: RULE };

/** A file that is wrong, and what must be said: its line, its field, and why. */
const BAD: readonly (readonly [what: string, text: string, line: number, says: RegExp])[] = [
  [
    "a port out of range",
    policy("  podSelector: {}\n  ingress:\n    - ports:\n        - port: 70000"),
    10,
    /spec\.ingress\[0\]\.ports\[0\]\.port.*70000/,
  ],
  [
    "an endPort below its port",
    policy("  podSelector: {}\n  ingress:\n    - ports:\n        - { port: 90, endPort: 80 }"),
    10,
    /spec\.ingress\[0\]\.ports\[0\]\.endPort.*80/,
  ],
  [
    "a CIDR that is none",
    policy("  podSelector: {}\n  ingress:\n    - from:\n        - ipBlock: { cidr: 10.0.0.0/33 }"),
    10,
    /spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr.*10\.0\.0\.0\/33/,
  ],
  [
    "a misspelled field",
    policy("  podSelektor: {}"),
    7,
    /spec\.podSelektor/,
  ],
  [
    "an operator that does not exist",
    policy(
      "  podSelector:\n    matchExpressions:\n      - { key: app, operator: Is, values: [web] }",
    ),
    9,
    /spec\.podSelector\.matchExpressions\[0\]\.operator.*Is/,
  ],
  [
    "a mode that does not exist",
    policy("  podSelector: {}").replace(
      "shop",
      "shop\n  annotations: { novanet.io/mode: dry-run }",
    ),
    6,
    /metadata\.annotations\[novanet\.io\/mode\] "dry-run": expected "audit" or "enforce"/,
  ],
  ["YAML that is broken", policy("  podSelector: {"), 8, /./],
  [
    "an object of another kind",
    "apiVersion: v1\nkind: Banana\nmetadata: { name: x }\n",
    2,
    /Banana/,
  ],
];

scenario("manifests that are wrong", {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  const apply = async (manifest: string, isInForce: (rules: readonly string[]) => boolean) => {
    await node.writeManifest("policy.yaml", manifest);
    await node.untilRules(isInForce);
  };
  const probe = async (service: string): Promise<Pick<Fate, "verdict" | "rule">> => {
    const { verdict, rule } = await cast.probe("shop/web", "shop/api", service);
    return { verdict, rule };
  };
  const agent = node.client(AgentControl, "novanet.sock");
  const errors = async () => (await agent.getAgentStatus({})).policyErrors;
  const errorsMetric = async () => {
    const { stdout } = await node.netns.run(["curl", "-sS", "http://127.0.0.1:9103/metrics"]);
    return Number(/^novanet_agent_policy_errors\S* (\d+)$/m.exec(stdout)?.[1]);
  };
  await apply(GOOD, (rules) => rules.includes(RULE));

  for (const [what, text, line, says] of BAD) {
    await step(`${what}: the last good state stays, and the status says where`, async () => {
      await node.writeManifest("policy.yaml", text);
      const [error = "", ...more] = await eventually(async () => {
        const found = await errors();
        return found.length > 0 ? found : undefined;
      });
      assert.deepEqual(more, []);
      assert.match(error, new RegExp(`policy\\.yaml:${line}\\b`));
      assert.match(error, says);
      assert.equal(await errorsMetric(), 1);
      assert.match(await node.ctl("status"), new RegExp(`policy\\.yaml:${line}\\b`));
      assert.deepEqual(await probe("TCP/80"), ALLOWED);
      assert.deepEqual(await probe("TCP/81"), DENIED);
      await node.writeManifest("policy.yaml", GOOD);
      await eventually(async () => (await errors()).length === 0, { what: "no error" });
    });
  }

  await step("a bad file holds up no other file", async () => {
    await node.writeManifest("bad.yaml", "kind: [");
    await apply(
      GOOD.replace("name: guard", "name: second"),
      (rules) => rules.includes("shop/second:ingress[default-deny]") && !rules.includes(RULE),
    );
    assert.equal((await errors()).length, 1);
    await node.removeManifest("bad.yaml");
    await eventually(async () => (await errors()).length === 0);
  });

  await step("the last good state survives a restart of the agent", async () => {
    await apply(GOOD, (rules) => rules.includes(RULE));
    await node.writeManifest("policy.yaml", BAD[0]?.[1] ?? "");
    await eventually(async () => (await errors()).length === 1);
    await node.agent.kill();
    await node.startAgent();
    assert.equal((await errors()).length, 1);
    assert((await node.ruleNames()).includes(RULE));
    await cast.flows.flowing();
    assert.deepEqual(await probe("TCP/81"), DENIED);
  });

  await step("JSON is read as well", async () => {
    await node.removeManifest("policy.yaml");
    await node.writeManifest(
      "policy.json",
      JSON.stringify({
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: "from-json", namespace: "shop" },
        spec: { podSelector: {} },
      }),
    );
    await node.untilRules((rules) =>
      rules.includes("shop/from-json:ingress[default-deny]") && !rules.includes(RULE)
    );
  });
});
