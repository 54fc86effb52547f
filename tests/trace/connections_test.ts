/** What `trace` tells of living connections is what their next packets meet, under policies that change. */
import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { TraceDelivery } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import {
  AttachType,
  DataplaneControl,
  DropReason,
  FlowEventType,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { hostIfName } from "../../shared/testing/node.ts";
import { UdpSocket } from "../../shared/testing/sockets.ts";
import { FlowLog } from "../scenarios/flow_log.ts";
import { scenario } from "../scenarios/scenario.ts";

const UDP = 17;
const PORT = 5353;
/** A small table of connections is read quickly. */
const SMALL = { dataplaneFlags: ["--conntrack-max=4096"] };

const policy = (direction: "Ingress" | "Egress", app: string, mode = "enforce") => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${direction.toLowerCase()}, namespace: default, annotations: { novanet.io/mode: ${mode} } }
spec: { podSelector: { matchLabels: { app: ${app} } }, policyTypes: [${direction}] }
`;

const ROWS = [
  { what: "without a policy", manifest: "", rule: "default-allow" },
  {
    what: "the receiver is isolated",
    manifest: policy("Ingress", "server"),
    rule: "default/ingress:ingress[default-deny]",
  },
  { what: "the policy is gone", manifest: "", rule: "default-allow" },
  {
    what: "the sender is isolated",
    manifest: policy("Egress", "client"),
    rule: "default/egress:egress[default-deny]",
  },
  { what: "the policy is gone again", manifest: "", rule: "default-allow" },
] as const;

scenario("trace follows living connections through changes of policy", SMALL, async (played) => {
  const { lab, node, step } = played;
  const client = await node.addPod("client", { labels: { app: "client" } });
  const server = await node.addPod("server", { labels: { app: "server" } });
  using sender = new UdpSocket(client.netns);
  using receiver = new UdpSocket(server.netns, { port: PORT });
  const srcPort = sender.address.port;
  const agent = node.client(AgentExt, "novanet.sock");
  let port = 20_000;
  const flows = lab.own(
    await FlowLog.open(node, () => sender.send({ ip: server.ip, port: ++port }, "flows")),
  );

  const ask = async (request: { srcPort?: number; from?: string; to?: string; port?: number }) => {
    const { from = "client", to = "server", port = PORT } = request;
    const packet = { from, to, protocol: UDP, srcPort: request.srcPort ?? 0, dstPort: port };
    const { trace } = await agent.tracePacket({ ...packet, findConnections: true });
    assert(trace?.verdict);
    return { ...trace, verdict: trace.verdict };
  };
  /** Sends the connection's next packet. @returns "arrived", or the rule that dropped it. */
  let sent = 0;
  const meet = async () => {
    const from = flows.events.length;
    const text = `packet ${++sent}`;
    return await eventually(() => {
      sender.send({ ip: server.ip, port: PORT }, text);
      const arrived = receiver.take().some(({ data }) => new TextDecoder().decode(data) === text);
      if (arrived) return "arrived";
      return flows.events.slice(from).find(({ eventType, srcPort: port }) =>
        eventType === FlowEventType.DROP && port === srcPort
      )?.rule;
    }, { intervalMs: 5, what: text });
  };

  sender.send({ ip: server.ip, port: PORT }, "hello");
  await receiver.next();
  for (const { what, manifest, rule } of ROWS) {
    await step(`${what}: trace of the connection and its packet`, async () => {
      await node.writeManifest("policy.yaml", manifest);
      await node.untilRules((rules) =>
        manifest === "" ? rules.every((name) => !name.includes("[")) : rules.includes(rule)
      );
      const denied = rule.includes("[");
      const old = await ask({ srcPort });
      assert.equal(old.verdict.rule, rule);
      assert.equal(old.verdict.verdict, denied ? PolicyAction.DENY : PolicyAction.ALLOW);
      assert.equal(old.verdict.established, true);
      const fresh = await ask({});
      assert.equal(fresh.verdict.rule, rule);
      assert.equal(fresh.verdict.established, false);
      assert.equal(fresh.connectionCount, 1);
      assert.equal(fresh.connections[0]?.srcPort, srcPort);
      assert.equal(fresh.connections[0]?.verdict?.rule, rule);
      assert.equal(await meet(), denied ? rule : "arrived");
      // A connection that passed was judged under the present generation; one that did not keeps its old one.
      assert.equal((await ask({})).connections[0]?.current, !denied);
    });
  }
  await step("an answer is traced as one, and needs no rule of its own", async () => {
    const request = { from: "server", to: "client", srcPort: PORT, port: srcPort };
    assert.equal((await ask(request)).verdict.established, true);
    await node.writeManifest("policy.yaml", policy("Ingress", "client"));
    const rule = "default/ingress:ingress[default-deny]";
    await node.untilRules((rules) => rules.includes(rule));
    const answer = await ask(request);
    assert.equal(answer.verdict.rule, "default-allow");
    assert.equal(answer.verdict.delivery, TraceDelivery.POD);
    const other = await ask({ ...request, srcPort: PORT + 1 });
    assert.deepEqual([other.verdict.established, other.verdict.rule], [false, rule]);
    receiver.send({ ip: client.ip, port: srcPort }, "answer");
    assert.equal(new TextDecoder().decode((await sender.next()).data), "answer");
    await node.writeManifest("policy.yaml", "");
  });
  await step("an interface that is closed, and one without a program", async () => {
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const interfaceName = hostIfName(client);
    const attachType = AttachType.ATTACH_TC_INGRESS;
    await dataplane.detachProgram({ interfaceName, attachType });
    const [hook] = (await ask({})).steps;
    assert.match(hook?.text ?? "", /^pod_egress is not attached to nv/);
    await dataplane.attachProgram({ interfaceName, attachType });
    assert.match((await ask({})).steps[0]?.text ?? "", /^pod_egress on nv\w+ \(ifindex \d+\) sees/);
  });
  await step("addresses that no packet gets to", async () => {
    for (
      const [to, reason] of [
        ["10.244.0.200", "NO_ROUTE"],
        ["224.0.0.1", "MULTICAST"],
        ["127.0.0.1", "INVALID_DESTINATION"],
        ["client", "INVALID_DESTINATION"],
      ] as const
    ) {
      const { verdict, steps } = await ask({ to });
      assert.equal(DropReason[verdict.dropReason], reason, to);
      assert.equal(steps.at(-1)?.dropReason, verdict.dropReason);
      assert.equal(verdict.delivery, TraceDelivery.DROPPED);
    }
    const unseen = await ask({ from: "node", to: node.addresses.outside });
    assert.equal(unseen.verdict.delivery, TraceDelivery.UNSEEN);
    const ends = [["client", node.addresses.outside], ["client", "node"], [
      "node",
      "client",
    ]] as const;
    const where = await Promise.all(ends.map(async ([from, to]) => {
      return (await ask({ from, to })).verdict.delivery;
    }));
    const { ROUTED, NODE, POD } = TraceDelivery;
    assert.deepEqual(where, [ROUTED, NODE, POD]);
  });
});
