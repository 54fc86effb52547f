import assert from "node:assert/strict";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { scenario } from "../scenarios/scenario.ts";
import { NAMESPACES, PODS } from "./cast.ts";
import { openConnection } from "./connection.ts";
import type { RawPolicy } from "./model.ts";
import { FATE_TIMEOUT_MS, PolicyNode } from "./policy_node.ts";
import type { World } from "./table.ts";

const WEB = { podSelector: { matchLabels: { app: "web" } } };
const CLI_ROWS = 3;

/** The cast with some policies in namespace shop. */
function worldOf(
  policies: Readonly<Record<string, RawPolicy["spec"]>>,
  annotations: Record<string, string> = {},
): World {
  return {
    policies: Object.entries(policies).map(([name, spec]) => ({
      metadata: { namespace: "shop", name, annotations },
      spec,
    })),
    pods: PODS,
    namespaces: NAMESPACES,
  };
}

scenario("policy and connections", {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  const open = (from: string, to: string, protocol: string, port: number) =>
    openConnection(cast.party(from), cast.party(to), protocol, port);

  await step("answers into an isolated pod pass: policy is stateful", async () => {
    await cast.enter(worldOf({ closed: WEB }));
    for (const to of ["shop/api", "198.51.100.7", "node"]) {
      for (const [protocol, port] of [["TCP", 7001], ["UDP", 7002], ["SCTP", 7003]] as const) {
        // To open it, both ends send.
        await using _ = await open("shop/web", to, protocol, port);
      }
    }
    const { verdict } = await cast.probe("shop/api", "shop/web", "TCP/80");
    assert.equal(verdict, "deny");
  });

  await step("answers out of a pod that may not go out pass too", async () => {
    await cast.enter(worldOf({ closed: { ...WEB, policyTypes: ["Egress"] } }));
    for (const [protocol, port] of [["TCP", 7001], ["UDP", 7002], ["SCTP", 7003]] as const) {
      await using _pod = await open("shop/api", "shop/web", protocol, port);
      await using _node = await open("node", "shop/web", protocol, port + 10);
    }
    await using _ = await open("198.51.100.7", "shop/web", "UDP", 7002);
    const { verdict } = await cast.probe("shop/web", "shop/api", "TCP/80");
    assert.equal(verdict, "deny");
  });

  await step("changes that still allow a connection do not touch it", async () => {
    const from = [{ podSelector: { matchLabels: { app: "api" } } }];
    await cast.enter(worldOf({ first: { ...WEB, ingress: [{ from }] } }));
    await using connection = await open("shop/api", "shop/web", "TCP", 7001);
    for (let round = 0; round < 10; round++) {
      await cast.enter(worldOf({ [`round-${round}`]: { ...WEB, ingress: [{ from }] } }));
      connection.send("source");
      await eventually(() => connection.hasArrived(), { timeoutMs: FATE_TIMEOUT_MS });
    }
    const drops = cast.flows.events.filter(({ srcPort, dropReason }) =>
      srcPort === connection.sourcePort && dropReason !== 0
    );
    assert.deepEqual(drops, []);
  });

  await step("a relabelled pod has another identity, and its old one goes with it", async () => {
    const agent = node.client(AgentControl, "novanet.sock");
    const identities = async () => {
      const { identities } = await agent.listIdentities({});
      return identities.filter(({ refCount }) => refCount > 0)
        .map(({ labels }) => JSON.stringify(Object.entries(labels).sort())).sort();
    };
    await cast.enter(worldOf({}));
    const before = await identities();
    const isDb = ({ name }: { name: string }) => name === "db";
    const pods = PODS.map((pod) => isDb(pod) ? { ...pod, labels: { app: "other" } } : pod);
    await cast.enter({ ...worldOf({}), pods });
    const during = await identities();
    assert.equal(during.length, before.length);
    assert.equal(during.filter((labels) => labels.includes('"other"')).length, 1);
    await cast.enter(worldOf({}));
    assert.deepEqual(await identities(), before);
  });

  await step("novanetctl shows what is audited beside what is allowed and dropped", async () => {
    const enforced = worldOf({ closed: { podSelector: { matchLabels: { app: "api" } } } });
    const audited = worldOf({ watched: WEB }, { "novanet.io/mode": "audit" });
    await cast.enter({ ...enforced, policies: [...enforced.policies, ...audited.policies] });
    const ctl = lab.start(node.ctlArgv("flows", "--port", "4711", "--limit", `${CLI_ROWS}`));
    const rows = await eventually(async () => {
      await cast.probe("shop/db", "shop/web", "UDP/4711");
      await cast.probe("shop/db", "shop/api", "UDP/4711");
      await cast.probe("shop/db", "office/web", "UDP/4711");
      return ctl.exited && ctl.stdout.trim().split("\n").slice(-CLI_ROWS);
    }, { timeoutMs: FATE_TIMEOUT_MS, what: "flows in novanetctl" });
    const verdicts = rows.map((row) => /\b(ALLOW|AUDIT|DENY)\b/.exec(row)?.[1]).sort();
    assert.deepEqual(verdicts, ["ALLOW", "AUDIT", "DENY"], rows.join("\n"));
    const rowOf = (verdict: string) => rows.find((row) => row.includes(verdict)) ?? "";
    assert.match(rowOf("AUDIT"), /shop\/watched:ingress\[audit\]/);
    assert.match(rowOf("DENY"), /shop\/closed:ingress\[default-deny\]/);
  });
});
