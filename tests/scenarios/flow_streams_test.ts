import assert from "node:assert/strict";
import {
  AgentControl,
  ConfigKey,
  DataplaneControl,
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol, Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode, LabPod } from "../../shared/testing/node.ts";
import { ethernet, ipv4, udp } from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { ping, sendPacket, TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";
import { FlowLog } from "./flow_log.ts";
import { scenario } from "./scenario.ts";

/** More events than all buffers between kernel and reader hold, when readers have so many other filters beside. */
const FLOOD = 80_000;
const OTHERS = 8;
/** So many at once, then a question to the dataplane. */
const BURST = 2000;
const ECHOED = 50_000;

type Ports = [number, number, number, number, number, number, number];

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
`;

/** Asks until the events have what is waited for. */
const until = <T>(find: () => T | undefined, what: string) => eventually(find, { what });
const sum = (events: readonly FlowEvent[], of: (event: FlowEvent) => bigint) =>
  events.reduce((total, event) => total + of(event), 0n);

/** A reader of a stream that can stand still. */
class Reader {
  readonly events: FlowEvent[] = [];
  #goesOn = Promise.resolve();
  #resume = () => {};

  constructor(stream: AsyncIterable<FlowEvent>) {
    // Broken off in the end; whoever waits for an event is told by the event that does not come.
    this.#read(stream).catch(() => {});
  }

  /** Reads nothing more after the next event. */
  pause(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#goesOn = promise;
    this.#resume = resolve;
  }

  /** Reads again. */
  resume(): void {
    this.#resume();
  }

  /** Waits for an event. @returns its place among the events */
  place(condition: (event: FlowEvent) => boolean): Promise<number> {
    return eventually(() => {
      const found = this.events.findIndex(condition);
      return found < 0 ? undefined : { found };
    }, { what: "an event", timeoutMs: 10_000 }).then(({ found }) => found);
  }

  /** Events after one place up to another, read or told as lost. */
  total(from: number, to: number): number {
    const events = this.events.slice(from + 1, to + 1);
    return events.length + Number(sum(events, ({ lostEvents }) => lostEvents));
  }

  async #read(stream: AsyncIterable<FlowEvent>): Promise<void> {
    for await (const event of stream) {
      this.events.push(event);
      await this.#goesOn;
    }
  }
}

function flood(node: LabNode, from: LabPod, to: LabPod, count: number, dstPort: number): void {
  using links = node.netns.rtnetlink();
  const gateway = links.linkGet(`nv${from.containerId.slice(0, 11)}`).mac;
  assert(gateway);
  using link = new RawLink(from.netns, "eth0");
  const mac = from.result.interfaces[0]?.mac ?? "";
  for (let index = 0; index < count; index++) {
    const payload = udp({ srcPort: 1024 + index, dstPort });
    link.send(ethernet({ src: mac, dst: gateway }, ipv4({ src: from.ip, dst: to.ip }, payload)));
  }
}

scenario("flow events", {}, async ({ lab, node, step }) => {
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const [web, friend, stranger] = [await pod("web"), await pod("friend"), await pod("stranger")];
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const agent = node.client(AgentControl, "novanet.sock");
  const configure = (key: ConfigKey, value: bigint) =>
    dataplane.updateConfig({ entries: { [key]: value } });
  await node.writeManifest("policy.yaml", POLICY);
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[0]"));
  let lastPort = 100;
  const sendOne = (from: LabPod, dstPort = ++lastPort) =>
    sendPacket(
      from.netns,
      { src: from.ip, dst: web.ip },
      udp({ srcPort: 50_000, dstPort }, "one"),
    );
  const flows = lab.own(await FlowLog.open(node, () => sendOne(friend)));
  const identities = new Map(
    (await agent.listIdentities({})).identities.map(({ identityId, labels }) => [
      labels["app"],
      identityId,
    ]),
  );

  await step("a connection: its beginning, its turns, its end, with all bytes", async () => {
    await using server = new TcpEchoServer(web.netns);
    const startedNs = BigInt(Date.now()) * 1_000_000n;
    let port = 0;
    {
      using client = await TcpClient.connect(friend.netns, { ip: web.ip, port: server.port });
      port = client.address.port;
      await client.exchange("x".repeat(ECHOED));
    }
    const own = () =>
      flows.events.filter(({ srcPort, dstPort }) => [srcPort, dstPort].includes(port));
    await until(
      () =>
        own().some(({ isReply, tcpFlags }) => isReply && (tcpFlags & 1)) &&
        own().some(({ isReply, tcpFlags }) => !isReply && (tcpFlags & 1)),
      "FIN from both sides",
    );
    const [first] = own();
    assert(first);
    assert.equal(FlowEventType[first.eventType], "NEW");
    assert.deepEqual(
      [first.srcIp, first.dstIp, first.dstPort, first.protocol],
      [Ipv4.parse(friend.ip).value, Ipv4.parse(web.ip).value, server.port, IpProtocol.TCP],
    );
    assert.deepEqual([first.srcIdentity, first.dstIdentity], [
      identities.get("friend"),
      identities.get("web"),
    ]);
    assert.deepEqual(
      [first.srcNamespace, first.srcPod, first.dstNamespace, first.dstPod],
      ["shop", "friend", "shop", "web"],
    );
    assert.equal(first.verdict, PolicyAction.ALLOW);
    assert.equal(first.rule, "shop/guard:ingress[0]");
    assert.equal(PolicyDirection[first.ruleDirection], "INGRESS");
    assert.equal(PolicyDirection[first.direction], "EGRESS");
    assert.deepEqual([first.isReply, first.packets, first.tcpFlags], [false, 1n, 2]);
    const laterNs = first.wallTimeUnixNs - startedNs;
    assert(laterNs > -50_000_000n && laterNs < 2_000_000_000n, `${laterNs} ns after the start`);
    assert(first.timestampNs > 0n);

    for (const isReply of [false, true]) {
      const events = own().filter((event) => event.isReply === isReply);
      const bytes = Number(sum(events, (event) => event.bytes));
      assert(bytes > ECHOED, `${bytes} bytes, headers included`);
      assert(bytes < ECHOED * 1.2, `${bytes} bytes: none is told twice`);
      const flags = events.reduce((all, { tcpFlags }) => all | tcpFlags, 0);
      assert.equal(flags & 0x13, 0x13, "SYN, ACK and FIN were seen");
    }
    assert(own().length < 12, `${own().length} events: never one a packet`);
  });

  await step("a drop: the reason, the rule, whose decision it was", async () => {
    sendOne(stranger, 4444);
    const drop = await until(
      () => flows.events.find(({ dstPort }) => dstPort === 4444),
      "the drop",
    );
    assert.equal(FlowEventType[drop.eventType], "DROP");
    assert.equal(drop.verdict, PolicyAction.DENY);
    assert.equal(DropReason[drop.dropReason], "POLICY_DENIED");
    assert.equal(drop.rule, "shop/guard:ingress[default-deny]");
    assert.equal(PolicyDirection[drop.ruleDirection], "INGRESS");
    assert.deepEqual([drop.srcPod, drop.dstPod, drop.packets], ["stranger", "web", 1n]);
  });

  await step("drops that repeat are told in one event an interval, with their number", async () => {
    await configure(ConfigKey.FLOW_INTERVAL_MS, 200n);
    for (let count = 0; count < 500; count++) sendOne(stranger, 5555);
    const told = () => flows.events.filter(({ dstPort }) => dstPort === 5555);
    await until(() => sum(told(), ({ packets }) => packets) === 500n, "all 500 drops");
    assert(told().length < 20, `${told().length} events`);
  });

  await step("ICMP has its type and code", async () => {
    await ping(friend.netns, web.ip);
    const event = await until(
      () => flows.events.find(({ protocol }) => protocol === IpProtocol.ICMP),
      "the echo request",
    );
    assert.deepEqual([event.icmpType, event.icmpCode, event.isReply], [8, 0, false]);
  });

  await step("a flow that goes on is told of every interval at the level all", async () => {
    await configure(ConfigKey.FLOW_LEVEL, 3n);
    await using server = new TcpEchoServer(web.netns);
    using client = await TcpClient.connect(friend.netns, { ip: web.ip, port: server.port });
    const { port } = client.address;
    await eventually(async () => {
      await client.exchange("tick");
      return flows.events.filter(({ srcPort, eventType }) =>
        srcPort === port && eventType === FlowEventType.UPDATE
      ).length > 3;
    }, { intervalMs: 50 });
    await configure(ConfigKey.FLOW_LEVEL, 2n);
  });

  await step("levels: drops alone, and nothing", async () => {
    const fresh = (dstPort: number) => flows.events.some((event) => event.dstPort === dstPort);
    await configure(ConfigKey.FLOW_LEVEL, 1n);
    sendOne(friend, 6001);
    sendOne(stranger, 6002);
    await until(() => fresh(6002), "the drop");
    assert(!fresh(6001), "connections are not told");
    await configure(ConfigKey.FLOW_LEVEL, 0n);
    sendOne(friend, 6003);
    sendOne(stranger, 6004);
    await configure(ConfigKey.FLOW_LEVEL, 2n);
    sendOne(friend, 6005);
    await until(() => fresh(6005), "the first event after");
    assert(!fresh(6003) && !fresh(6004));
  });

  const streams = {
    "the dataplane": dataplane.streamFlows.bind(dataplane),
    "the agent": agent.streamAgentFlows.bind(agent),
  };
  for (const [index, [server, stream]] of Object.entries(streams).entries()) {
    // Flows that are known already would tell nothing new.
    const [MARK, UNASKED, ASKED, FIRST, SECOND, LAST, FLOODED] = [0, 100, 101, 200, 201, 202, 300]
      .map((port) => 7000 + 1000 * index + port) as Ports;
    const mark = (dstPort: number) => (event: FlowEvent) => event.dstPort === dstPort;
    /** Sends new flows to a port until all readers have seen one. */
    const reach = async (readers: readonly Reader[], dstPort: number, from = friend) => {
      let srcPort = 1;
      await eventually(() => {
        const payload = udp({ srcPort: srcPort++, dstPort });
        sendPacket(from.netns, { src: from.ip, dst: web.ip }, payload);
        return readers.every(({ events }) => events.some(mark(dstPort)));
      }, { intervalMs: 20, what: "readers that read" });
    };

    await step(`filters of ${server}: one identity, drops only`, async () => {
      const end = new AbortController();
      const identityFilter = identities.get("stranger") ?? 0;
      const readers = [
        new Reader(stream({ identityFilter }, { signal: end.signal })),
        new Reader(stream({ dropsOnly: true }, { signal: end.signal })),
      ];
      await reach(readers, MARK, stranger);
      sendOne(friend, UNASKED);
      sendOne(stranger, ASKED);
      for (const reader of readers) {
        await reader.place(mark(ASKED));
        assert(!reader.events.some(mark(UNASKED)), "no event that was not asked for");
      }
      end.abort();
    });

    await step(`a reader of ${server} that stands still loses events, and is told`, async () => {
      const end = new AbortController();
      // Each filter's readers get a share of the room for events, which is then small enough to be filled.
      for (let identityFilter = 4711; identityFilter < 4711 + OTHERS; identityFilter++) {
        new Reader(stream({ identityFilter }, { signal: end.signal }));
      }
      const [fast, slow] = [
        new Reader(stream({}, { signal: end.signal })),
        new Reader(stream({}, { signal: end.signal })),
      ];
      await reach([fast, slow], FIRST);
      // What both have read is where counting begins.
      sendOne(friend, SECOND);
      const from = await Promise.all([fast.place(mark(SECOND)), slow.place(mark(SECOND))]);
      slow.pause();
      for (let sent = 0; sent < FLOOD; sent += BURST) {
        flood(node, friend, web, BURST, FLOODED + sent / BURST);
        const asked = performance.now();
        await dataplane.getDataplaneStatus({});
        const answeredMs = performance.now() - asked;
        assert(answeredMs < 1000, `held up for ${Math.round(answeredMs)} ms`);
      }
      slow.resume();
      await reach([slow], LAST);
      const last = slow.events.find(mark(LAST));
      const isSame = (event: FlowEvent) => mark(LAST)(event) && event.srcPort === last?.srcPort;
      const to = await Promise.all([fast.place(isSame), slow.place(isSame)]);

      const [all, told] = [fast.total(from[0], to[0]), slow.total(from[1], to[1])];
      assert(all > FLOOD, `${all} events`);
      assert.equal(told, all, "read or told as lost");
      const lost = told - (to[1] - from[1]);
      assert(lost > 1000, `${lost} events lost`);
      end.abort();
    });
  }
});
