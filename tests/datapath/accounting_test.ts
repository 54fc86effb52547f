/** Counters, events and expiry, against sequences of packets that are known. */
import assert from "node:assert/strict";
import type { FlowEvent } from "../../shared/gen/abi.ts";
import { FlowEventType } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Mac } from "../../shared/net/mod.ts";
import {
  ethernet,
  fragments,
  icmp,
  icmpEcho,
  rawTransport,
  sctp,
  tcp,
  type TransportLayer,
  udp,
} from "../../shared/testing/packets.ts";
import { EGRESS, GATEWAY_MAC, INGRESS, ip, result } from "./datapath.ts";
import {
  A,
  arriving,
  B,
  HOST,
  IDENTITY_A,
  IDENTITY_B,
  makeWorld,
  OUTSIDE,
  sent,
  UPLINK,
  type World,
} from "./world.ts";

const { NEW, UPDATE, END, DROP } = FlowEventType;
const MINUTE_MS = 60_000;
const fromOutside = ({ a }: World) => ({ ifindex: a.ifindex, ingressIfindex: UPLINK });

const segment = (flags: string, data = "") => tcp({ srcPort: 40_000, dstPort: 80, flags }, data);
const answer = (flags: string, data = "") => tcp({ srcPort: 80, dstPort: 40_000, flags }, data);
const forth = ({ datapath, a }: World, payload: TransportLayer) =>
  datapath.run("pod_egress", sent(a, OUTSIDE, payload), a);
const back = (world: World, payload: TransportLayer) =>
  world.datapath.run("pod_ingress", arriving(world.a, OUTSIDE, payload), fromOutside(world));

/** Everything that a second of timeouts could still hold is over. */
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 20));

function sumOf(events: readonly FlowEvent[], isReply: number): [packets: number, bytes: number] {
  const own = events.filter((event) => event.isReply === isReply);
  return [
    own.reduce((sum, { packets }) => sum + Number(packets), 0),
    own.reduce((sum, { bytes }) => sum + Number(bytes), 0),
  ];
}

Deno.test("the events of a flow add up to its packets and bytes in each direction", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  datapath.set({ flowIntervalJiffies: 1 });
  forth(world, segment("S"));
  back(world, answer("SA"));
  for (let i = 1; i <= 30; i++) {
    forth(world, segment("A", "x".repeat(i)));
    if (i % 3 === 0) back(world, answer("A", "y".repeat(10 * i)));
  }
  forth(world, segment("FA"));
  back(world, answer("FA"));
  datapath.set({ timeoutSeconds: Array(9).fill(0), hz: 1 });
  await aMoment();
  assert.equal(datapath.collect().conntrackExpired, 1);
  const events = datapath.events();
  assert.deepEqual(sumOf(events, 0), [32, 32 * 40 + 30 * 31 / 2]);
  assert.deepEqual(sumOf(events, 1), [12, 12 * 40 + 10 * (3 + 30) * 10 / 2]);
  assert.deepEqual(new Set(events.map(({ eventType }) => eventType)), new Set([NEW, UPDATE, END]));
  for (const event of events) {
    const { srcIp, srcPort, dstPort, srcIdentity, dstIdentity, direction } = event;
    assert.deepEqual(
      [srcIp, srcPort, dstPort, srcIdentity, dstIdentity, direction],
      event.isReply === 0
        ? [ip(A).toU32(), 40_000, 80, IDENTITY_A, 2, EGRESS]
        : [ip(OUTSIDE).toU32(), 80, 40_000, 2, IDENTITY_A, INGRESS],
    );
  }
});

Deno.test("a packet that will be cut counts as its segments", async () => {
  await using world = await makeWorld();
  const { datapath, a } = world;
  forth(world, segment("S"));
  const data = new Uint8Array(2500);
  const whole = sent(a, OUTSIDE, tcp({ srcPort: 40_000, dstPort: 80, flags: "A" }, data));
  const big = sent(a, OUTSIDE, tcp({ srcPort: 40_000, dstPort: 80, flags: "A" }, data), {
    totalLength: 0,
  });
  for (const packet of [whole, big]) {
    assert.equal(
      datapath.run("pod_egress", packet, { ifindex: a.ifindex, segments: 3 }).verdict,
      "pass",
    );
  }
  const [entry] = datapath.connections();
  assert.deepEqual(
    [entry?.packets[0], entry?.bytes[0]],
    [6, BigInt(2 * (20 + 20 + 2500))],
  );
});

Deno.test("a summary tells the direction of each end", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  datapath.set({ flowIntervalJiffies: 1_000_000 });
  forth(world, segment("S"));
  back(world, answer("SA"));
  forth(world, segment("A"));
  back(world, answer("A"));
  datapath.events();
  datapath.set({ flowIntervalJiffies: 0 });
  forth(world, segment("A"));
  assert.deepEqual(
    datapath.events().map(({ isReply, direction }) => [isReply, direction]),
    [[0, EGRESS], [1, INGRESS]],
  );
});

Deno.test("a flow on the ports of one that is closing ends that one", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  forth(world, segment("S"));
  back(world, answer("SA"));
  forth(world, segment("A"));
  back(world, answer("RA"));
  forth(world, segment("S"));
  assert.deepEqual(
    datapath.events().map(({ eventType, isReply, packets }) => [
      eventType,
      isReply,
      Number(packets),
    ]),
    [[NEW, 0, 1], [UPDATE, 1, 1], [UPDATE, 1, 1], [END, 0, 1], [END, 1, 0], [NEW, 0, 1]],
  );
  assert.equal(datapath.statistic(2), 1n, "one entry was created");
});

Deno.test("a flow that finds no room is dropped, and not told to be new", async () => {
  await using world = await makeWorld({ CONNTRACK: 8, CONNTRACK_MORE: 4 });
  const { datapath, a } = world;
  const outcomes = Array.from(
    { length: 64 },
    (_, index) =>
      datapath.run("pod_egress", sent(a, B, udp({ srcPort: 1000 + index, dstPort: 53 })), a),
  );
  const events = datapath.events();
  assert.equal(
    events.filter(({ eventType }) => eventType === NEW).length,
    outcomes.filter(({ verdict }) => verdict === "redirect").length,
  );
  const drops = events.filter(({ eventType }) => eventType === DROP);
  assert.deepEqual(
    drops.map(({ ruleId, srcIdentity, dstIdentity, packets }) => [
      ruleId,
      srcIdentity,
      dstIdentity,
      Number(packets),
    ]),
    // The first, and the attempts from other ports that an interval tells at once.
    Array(9).fill([0, IDENTITY_A, IDENTITY_B, 1]),
  );
});

Deno.test("a packet whose hops are used up opens nothing and counts in no flow", async () => {
  await using world = await makeWorld();
  const { datapath, a } = world;
  const send = (ttl: number) =>
    result(datapath.run("pod_egress", sent(a, B, segment("S"), { ttl }), a));
  assert.equal(send(1), "TTL_EXCEEDED");
  assert.deepEqual(datapath.connections(), []);
  assert.deepEqual([send(64), send(1)], ["redirect", "TTL_EXCEEDED"]);
  assert.deepEqual(
    datapath.events().map(({ eventType, packets }) => [eventType, Number(packets)]),
    [[DROP, 1], [NEW, 1]],
  );
  assert.equal(datapath.connections()[0]?.packets[0], 0);
});

Deno.test("an event has ICMP's type and code", async () => {
  await using world = await makeWorld();
  forth(world, icmp({ type: 40, code: 3 }));
  assert.deepEqual(
    world.datapath.events().map(({ icmpType, icmpCode }) => [icmpType, icmpCode]),
    [[40, 3]],
  );
});

Deno.test("expiry by class", async (t) => {
  const handshake: [typeof forth, TransportLayer][] = [
    [forth, segment("S")],
    [back, answer("SA")],
    [forth, segment("A")],
  ];
  const rows: readonly {
    readonly name: string;
    readonly packets: readonly [typeof forth, TransportLayer][];
    readonly timeout: number;
  }[] = [
    { name: "TCP SYN", packets: handshake.slice(0, 1), timeout: 0 },
    { name: "TCP SYN answered", packets: handshake.slice(0, 2), timeout: 0 },
    { name: "TCP taken up, unanswered", packets: [[forth, segment("A")]], timeout: 0 },
    {
      name: "TCP SYN and FIN behind it, unanswered",
      packets: [[forth, segment("S")], [forth, segment("FA")]],
      timeout: 0,
    },
    { name: "TCP established", packets: handshake, timeout: 1 },
    {
      name: "TCP taken up, answered",
      packets: [[forth, segment("A")], [back, answer("A")]],
      timeout: 1,
    },
    {
      name: "TCP closed by one end",
      packets: [...handshake, [forth, segment("FA")]],
      timeout: 1,
    },
    {
      name: "TCP closed by both ends",
      packets: [...handshake, [forth, segment("FA")], [back, answer("FA")]],
      timeout: 2,
    },
    { name: "TCP reset", packets: [...handshake, [back, answer("R")]], timeout: 2 },
    { name: "UDP", packets: [[forth, udp({ srcPort: 1, dstPort: 2 })]], timeout: 3 },
    {
      name: "UDP answered",
      packets: [[forth, udp({ srcPort: 1, dstPort: 2 })], [back, udp({ srcPort: 2, dstPort: 1 })]],
      timeout: 4,
    },
    {
      name: "SCTP",
      packets: [[forth, sctp({ srcPort: 1, dstPort: 2 }, [{ type: 1 }])]],
      timeout: 5,
    },
    { name: "ICMP", packets: [[forth, icmpEcho({ id: 1 })]], timeout: 6 },
    { name: "GRE", packets: [[forth, rawTransport(47, new Uint8Array(4))]], timeout: 7 },
  ];
  for (const { name, packets, timeout } of rows) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { datapath } = world;
      for (const [send, payload] of packets) assert.equal(send(world, payload).verdict, "pass");
      const expiring = (chosen: boolean) =>
        Array.from({ length: 9 }, (_, index) => (index === timeout) === chosen ? 0 : MINUTE_MS);
      await aMoment();
      datapath.set({ hz: 1, timeoutSeconds: expiring(false) });
      assert.equal(datapath.collect().conntrackLive, 1, "other timeouts do not matter");
      datapath.set({ timeoutSeconds: expiring(true) });
      assert.equal(datapath.collect().conntrackExpired, 1);
      assert.equal(datapath.statistic(3), 1n);
    });
  }
  await t.step("fragments", async () => {
    await using world = await makeWorld();
    const { datapath, a } = world;
    const [first] = fragments(
      { src: A, dst: B, id: 1 },
      udp({ srcPort: 1, dstPort: 2 }, new Uint8Array(100)),
      [64],
    );
    assert.ok(first);
    datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, first), a);
    await aMoment();
    datapath.set({ hz: 1, timeoutSeconds: Array(9).fill(MINUTE_MS) });
    assert.equal(datapath.collect().fragmentsLive, 1);
    datapath.set({ timeoutSeconds: [...Array(8).fill(MINUTE_MS), 0] });
    assert.equal(datapath.collect().fragmentsExpired, 1);
  });
});

Deno.test("a flood of different drops is counted to the last one", async () => {
  await using world = await makeWorld({ DROP_FLOWS: 64 });
  const { datapath, a } = world;
  datapath.addRule({
    action: "deny",
    ruleId: 90,
    srcIdentity: IDENTITY_A,
    direction: EGRESS,
    kind: 1,
  });
  for (let port = 1; port <= 500; port++) {
    datapath.run("pod_egress", sent(a, B, udp({ srcPort: 9, dstPort: port })), a);
  }
  assert.equal(datapath.drops()[1], 500n);
  assert.deepEqual(sumOf(datapath.events(), 0)[0], 500, "each is the first of its kind");
  assert.ok([...datapath.map("DROP_FLOWS").entries()].length <= 64);
});

Deno.test("pods whose interfaces share a slot", async () => {
  await using world = await makeWorld();
  const { a, datapath, netns } = world;
  const index = a.ifindex + 65_536;
  await netns.run(
    ["ip", "link", "add", "c", "index", `${index}`, "type", "veth", "peer", "name", "pod-c"],
  );
  const address = ip("10.244.0.4");
  const c = { ip: address, mac: Mac.forPod(address), ifindex: index, identity: 258 };
  assert.equal(
    result(datapath.run("pod_egress", sent(c, A, segment("S")), c)),
    "ENDPOINT_NOT_READY",
    "the other one's pod is not its own",
  );
  datapath.addPod(c);
  assert.deepEqual(
    [
      datapath.run("pod_egress", sent(c, A, segment("S")), c),
      datapath.run("pod_egress", sent(a, "10.244.0.4", answer("SA")), a),
      datapath.run("pod_ingress", arriving(c, HOST, segment("S")), c),
      datapath.run("pod_egress", sent(c, A, segment("S")), a),
    ].map(result),
    ["redirect", "redirect", "pass", "SPOOFED_SOURCE_IP"],
  );
});

Deno.test("a request of ICMP or SCTP is no answer to one", async (t) => {
  const rows = [
    ["ICMP timestamp", icmp({ type: 13, rest: 7 << 16 }), icmp({ type: 14, rest: 7 << 16 })],
    ["ICMP echo with identifier 0", icmpEcho({ id: 0 }), icmpEcho({ id: 0, reply: true })],
    [
      "SCTP",
      sctp({ srcPort: 9, dstPort: 9 }, [{ type: 1 }]),
      sctp({ srcPort: 9, dstPort: 9 }, [{ type: 2 }]),
    ],
  ] as const;
  for (const [name, request, reply] of rows) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { a, b, datapath } = world;
      datapath.addRule({
        action: "deny",
        ruleId: 91,
        srcIdentity: IDENTITY_B,
        direction: EGRESS,
        kind: 1,
      });
      const outcomes = [
        datapath.run("pod_egress", sent(b, A, reply), b),
        datapath.run("pod_egress", sent(a, B, request), a),
        datapath.run("pod_egress", sent(b, A, reply), b),
        datapath.run("pod_egress", sent(b, A, request), b),
      ];
      assert.deepEqual(outcomes.map(result), [
        "CONNTRACK_INVALID",
        "redirect",
        "redirect",
        "POLICY_DENIED",
      ]);
    });
  }
});
