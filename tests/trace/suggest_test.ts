/** `policy suggest`: what it writes lets exactly the flows pass that were seen. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { udp } from "../../shared/testing/packets.ts";
import { sendPacket } from "../../shared/testing/sockets.ts";
import { NAMESPACES, PARTIES, PODS } from "../policy/cast.ts";
import type { RawPolicy } from "../policy/model.ts";
import { PolicyNode } from "../policy/policy_node.ts";
import type { World } from "../policy/table.ts";
import { scenario } from "../scenarios/scenario.ts";

const SUBJECT = "shop/web";

type Flow = readonly [from: string, to: string, service: string];

/** What the subject is seen to do. */
const SEEN: readonly [Flow, ...Flow[]] = [
  ["office/client", SUBJECT, "TCP/8080"],
  ["office/client", SUBJECT, "TCP/8081"],
  ["shop/api", SUBJECT, "TCP/8080"],
  ["shop/api", SUBJECT, "UDP/53"],
  ["lab/bare", SUBJECT, "TCP/443"],
  ["198.51.100.7", SUBJECT, "TCP/443"],
  [SUBJECT, "shop/db", "TCP/5432"],
  [SUBJECT, "shop/db", "SCTP/3868"],
  [SUBJECT, "office/web", "TCP/80"],
  [SUBJECT, "203.0.113.5", "UDP/123"],
];
/** What is seen, and no NetworkPolicy can name. */
const NAMELESS: Flow = ["shop/api", SUBJECT, "ICMP"];
const DENIED: Flow = ["office/web", SUBJECT, "TCP/81"];
const FROM_NODE: Flow = ["node", SUBJECT, "TCP/80"];
const SERVICES = [
  ...new Set([...SEEN, NAMELESS, DENIED].map(([, , service]) => service)),
  "UDP/8080",
];

const DENIAL: RawPolicy = {
  metadata: { namespace: "shop", name: "denial" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    ingress: [{ from: [{ podSelector: {} }] }],
  },
};

function world(...policies: readonly RawPolicy[]): World {
  const pods = PODS.map(({ labelsFrom: _, ...pod }) => pod);
  return { policies, pods, namespaces: { ...NAMESPACES } };
}

scenario("policy suggest allows the flows that were seen, and no others", {}, async (played) => {
  const { lab, node, step } = played;
  const cast = await PolicyNode.make(lab, node);
  // The first world brings the pods' labels: only then are policies of the next one in force for them.
  await cast.enter(world());
  await cast.enter(world(DENIAL));
  assert.equal((await cast.probe(...DENIED)).verdict, "deny");
  await cast.enter(world());
  for (const flow of [...SEEN, NAMELESS, FROM_NODE]) {
    const { verdict, srcPort } = await cast.probe(...flow);
    assert.equal(verdict, "allow");
    const [from, to, service] = flow;
    if (service !== "UDP/53") continue;
    const [answers, asks] = [cast.party(to), cast.party(from)];
    const answer = udp({ srcPort: 53, dstPort: srcPort }, "an answer");
    sendPacket(answers.netns, { src: answers.ip, dst: asks.ip }, answer);
  }
  const text = await node.ctl("policy", "suggest", SUBJECT);
  const policy = parse(text) as RawPolicy;

  await step("it is a NetworkPolicy, and says what it is", () => {
    const { metadata, spec } = policy;
    assert.deepEqual(metadata, { name: "seen-web", namespace: "shop" });
    assert.deepEqual(spec.podSelector, { matchLabels: { app: "web", tier: "front" } });
    assert.deepEqual(spec.policyTypes, ["Ingress", "Egress"]);
    const comments = text.split("\n").filter((line) => line.startsWith("#")).join("\n");
    assert.match(comments, /^# Allows the flows of pod shop\/web that were seen since 20\S+Z, and/);
    assert.match(comments, /cannot name it: ingress from pods shop app=api,tier=back to ICMP\./);
    assert.match(
      comments,
      /policy denied it: ingress from pods office \S+ to TCP 81, by shop\/denial:ingress\[default-deny\]\./,
    );
    assert.match(comments, /Left out: \d+ flow events from and to the node/);
    assert.match(
      text,
      /ports:\n +- protocol: TCP\n +port: 5432\n +- protocol: SCTP\n +port: 3868\n/,
    );
  });
  await step("as JSON it is the same object, with the notes beside it", async () => {
    assert.deepEqual(JSON.parse(await node.ctl("policy", "suggest", SUBJECT, "--json")), policy);
  });
  await step(
    "what passed before and is denied since is in the comments alone",
    async () => {
      const [gone] = SEEN;
      await cast.enter(world(DENIAL));
      assert.equal((await cast.probe(...gone)).verdict, "deny");
      const now = await node.ctl("policy", "suggest", SUBJECT);
      assert.match(
        now,
        /policy denied it: ingress from pods office \S+ to TCP 8080, by shop\/denial/,
      );
      const { ingress } = (parse(now) as RawPolicy).spec;
      const ofClient = ingress?.filter((rule) => JSON.stringify(rule).includes("client"));
      assert.deepEqual(ofClient?.flatMap(({ ports }) => ports?.map(({ port }) => port)), [8081]);
      await cast.enter(world());
      assert.equal((await cast.probe(...gone)).verdict, "allow");
      assert.deepEqual(parse(await node.ctl("policy", "suggest", SUBJECT)), policy);
    },
  );
  await step("in force, the same flows pass and every other one drops", async () => {
    await cast.enter(world(policy));
    const seen = new Set<string>(SEEN.map((flow) => flow.join(" ")));
    const others = PARTIES.filter((party) => party !== SUBJECT);
    const flows = others.flatMap((other) =>
      SERVICES.flatMap((service): Flow[] => [[other, SUBJECT, service], [SUBJECT, other, service]])
    );
    assert(flows.length > 150);
    const fates = await Promise.all(flows.map(async (flow) => {
      const { verdict, rule } = await cast.probe(...flow);
      return { flow: flow.join(" "), verdict, rule };
    }));
    for (const { flow, verdict, rule } of fates) {
      const passes = seen.has(flow) || flow.split(" ").includes("node");
      assert.equal(verdict, passes ? "allow" : "deny", `${flow} by ${rule}`);
    }
  });
  await step("pods that have all labels of a peer and more are no peer", async () => {
    await node.addPod("more", { namespace: "lab", labels: { app: "more" } });
    const more = parse(await node.ctl("policy", "suggest", SUBJECT)) as RawPolicy;
    assert(JSON.stringify(more).includes('"matchExpressions":[{"key":"app"'));
    await cast.enter(world(more));
    const agent = node.client(AgentExt, "novanet.sock");
    const verdict = async (from: string) => {
      const packet = { from, to: SUBJECT, protocol: 6, dstPort: 443 };
      return (await agent.tracePacket(packet)).trace?.verdict?.verdict;
    };
    assert.equal(await verdict("lab/bare"), PolicyAction.ALLOW);
    assert.equal(await verdict("lab/more"), PolicyAction.DENY);
  });
});
