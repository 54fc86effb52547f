import assert from "node:assert/strict";
import { AgentControl, DropReason, FlowEventType } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { TcpClient, TcpEchoServer, UdpSocket } from "../../shared/testing/sockets.ts";
import { type PartyName, PolicyWorld } from "./policy_world.ts";
import { scenario } from "./scenario.ts";

const denyAll = (types: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny-all, namespace: shop }
spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [${types}] }
`;

const ALLOW_TRUSTED = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: trusted, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { trusted: "yes" } } }] }]
`;

scenario("policies change under living connections", {}, async ({ lab, node, step }) => {
  const world = await PolicyWorld.make(lab, node);
  const web = world.party("shop/web");
  const server = lab.own(new TcpEchoServer(web.netns));
  const connect = async (from: PartyName) =>
    lab.own(
      await TcpClient.connect(world.party(from).netns, { ip: web.ip, port: server.port }),
    );
  const names = (part: string) => (rules: readonly string[]) =>
    rules.some((rule) => rule.includes(part));

  /** Sends on a connection whose packets the policy drops; the kernel repeats them until it lets them pass. */
  const expectDropped = async (client: TcpClient, text: string, rule: string) => {
    const { port } = client.address;
    const from = world.flows.events.length;
    client.send(text);
    const drop = await eventually(
      () =>
        world.flows.events.slice(from).find((event) =>
          event.eventType === FlowEventType.DROP && event.srcPort === port
        ),
      { intervalMs: 2, what: `a drop of the connection from port ${port}` },
    );
    assert.equal(DropReason[drop.dropReason], "POLICY_DENIED");
    assert.equal(drop.rule, rule);
    assert.equal(client.take(), undefined, "nothing comes back");
  };
  const expectAnswer = (client: TcpClient, text: string) =>
    eventually(() => {
      const answer = client.take();
      if (answer === undefined) return undefined;
      assert.equal(new TextDecoder().decode(answer), text);
      return true;
    }, { timeoutMs: 5000, what: "what was dropped comes through when it is sent again" });

  await step(
    "a policy that comes drops the next packet, and lets it pass when it goes",
    async () => {
      for (const from of ["shop/api", "office/client", "outside"] as const) {
        const client = await connect(from);
        assert.equal(await client.exchange("before"), "before");
        await world.apply(denyAll("Ingress"), names("shop/deny-all:"));
        await expectDropped(client, "during", "shop/deny-all:ingress[default-deny]");
        await node.removeManifest("policy.yaml");
        await world.until((rules) => !names("shop/deny-all:")(rules));
        await expectAnswer(client, "during");
        assert.equal(await client.exchange("after"), "after");
      }
    },
  );

  await step("a policy of the source's egress drops the next packet too", async () => {
    await using answering = new TcpEchoServer(world.party("office/web").netns);
    using client = await TcpClient.connect(web.netns, {
      ip: world.party("office/web").ip,
      port: answering.port,
    });
    assert.equal(await client.exchange("before"), "before");
    await world.apply(denyAll("Egress"), names("shop/deny-all:egress"));
    await expectDropped(client, "during", "shop/deny-all:egress[default-deny]");
    await node.removeManifest("policy.yaml");
    await world.until((rules) => !names("shop/deny-all:")(rules));
    await expectAnswer(client, "during");
  });

  await step("a change that still allows a connection does not touch it", async () => {
    const client = await connect("shop/api");
    for (let round = 0; round < 10; round++) {
      const name = `round-${round}`;
      await world.apply(
        ALLOW_TRUSTED.replace("name: trusted,", `name: ${name},`)
          .replace('trusted: "yes"', "app: api"),
        names(`shop/${name}:`),
      );
      assert.equal(await client.exchange(name), name);
    }
    await node.removeManifest("policy.yaml");
    await world.until((rules) => !names("shop/round-")(rules));
  });

  await step("replies into an isolated pod pass: policy is stateful", async () => {
    await world.apply(denyAll("Ingress"), names("shop/deny-all:"));
    for (const to of ["shop/api", "outside", "node"] as const) {
      const { netns, ip } = world.party(to);
      await using answering = new TcpEchoServer(netns);
      using client = await TcpClient.connect(web.netns, { ip, port: answering.port });
      assert.equal(await client.exchange("a reply, please"), "a reply, please");
      using asking = new UdpSocket(web.netns);
      using answerer = new UdpSocket(netns);
      asking.send({ ip, port: answerer.address.port }, "?");
      const request = await answerer.next();
      answerer.send(request.from, "!");
      assert.equal((await asking.next()).data.length, 1);
    }
    assert.equal(
      await world.probe("shop/api", "shop/web", "TCP/80"),
      "shop/deny-all:ingress[default-deny]",
    );
    await node.removeManifest("policy.yaml");
    await world.until((rules) => !names("shop/deny-all:")(rules));
  });

  await step("a pod that is relabelled is another one, for living connections too", async () => {
    await world.apply(ALLOW_TRUSTED, names("shop/trusted:"));
    const rule = "shop/trusted:ingress[default-deny]";
    assert.equal(await world.probe("shop/api", "shop/web", "TCP/80"), rule);
    const agent = node.client(AgentControl, "novanet.sock");
    const identities = async () =>
      (await agent.listIdentities({})).identities.filter(({ refCount }) => refCount > 0).length;
    const before = await identities();

    await world.relabelApi({ trusted: "yes" });
    await eventually(async () => {
      assert.equal(await world.probe("shop/api", "shop/web", "TCP/80"), "allowed");
      return true;
    });
    assert.equal(await identities(), before, "the old identity is gone with its last pod");
    const client = await connect("shop/api");
    assert.equal(await client.exchange("trusted"), "trusted");

    await world.relabelApi({ trusted: "no" });
    await eventually(async () => {
      assert.equal(await world.probe("shop/api", "shop/web", "TCP/80"), rule);
      return true;
    });
    await expectDropped(client, "not any more", rule);
  });
});
