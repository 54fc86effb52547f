/** Conntrack, fragments and events: several packets in a row through both hooks. */
import assert from "node:assert/strict";
import { FlowEventType } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import {
  ethernet,
  fragments,
  icmpEcho,
  icmpError,
  ipv4,
  sctp,
  tcp,
  udp,
} from "../../shared/testing/packets.ts";
import { type DatapathPod, EGRESS, GATEWAY_MAC, INGRESS, result } from "./datapath.ts";
import {
  A,
  arriving,
  B,
  HOST,
  IDENTITY_B,
  makeWorld,
  OUTSIDE,
  sent,
  UPLINK,
  type World,
} from "./world.ts";

const { NEW, UPDATE, END, DROP } = FlowEventType;

/** The pods' packets: `S` from A to B, `<SA` the answer. */
function talk({ datapath, a, b }: World, flags: readonly string[]): string[] {
  return flags.map((each) => {
    const back = each.startsWith("<");
    const [from, to]: [DatapathPod, string] = back ? [b, A] : [a, B];
    const ports = back ? { srcPort: 80, dstPort: 40_000 } : { srcPort: 40_000, dstPort: 80 };
    const packet = sent(from, to, tcp({ ...ports, flags: each.replace("<", "") }));
    return result(datapath.run("pod_egress", packet, from));
  });
}

const isolateB = (world: World) =>
  world.datapath.addRule({
    action: "deny",
    ruleId: 90,
    dstIdentity: IDENTITY_B,
    direction: INGRESS,
    kind: 1,
  });
/** Isolated to the outside too: only replies may leave B. */
const muteB = (world: World) =>
  world.datapath.addRule({
    action: "deny",
    ruleId: 91,
    srcIdentity: IDENTITY_B,
    direction: EGRESS,
    kind: 1,
  });

Deno.test("TCP states", async (t) => {
  const rows = [
    { flags: ["S"], state: 0 },
    { flags: ["S", "<SA"], state: 1 },
    { flags: ["S", "<SA", "A"], state: 2 },
    { flags: ["S", "<SA", "A", "PA", "<A"], state: 2 },
    { flags: ["S", "<SA", "A", "FA"], state: 3 },
    { flags: ["S", "<SA", "A", "FA", "<A", "<FA", "A"], state: 4 },
    { flags: ["S", "<SA", "A", "<R"], state: 5 },
    { flags: ["S", "<RA"], state: 5 },
    { flags: ["S", "<SA", "A", "FA", "<FA", "A", "S"], state: 0 },
    { flags: ["S", "<SA", "A", "<FA", "A", "FA"], state: 4 },
    { flags: ["S", "<SA", "<FA", "A", "FA"], state: 4 },
    { flags: ["S", "<SA", "A", "R", "FA", "<FA"], state: 5 },
    { flags: ["S", "FA"], state: 0 },
    { flags: ["S", "<A"], state: 0 },
    { flags: ["S", "<A", "<SA", "A"], state: 2 },
    { flags: ["S", "<S", "SA", "<SA"], state: 2 },
    { flags: ["A"], state: 0 },
    { flags: ["A", "A"], state: 0 },
    { flags: ["A", "<A"], state: 2 },
    { flags: ["FA", "<A", "<FA"], state: 4 },
  ];
  for (const { flags, state } of rows) {
    await t.step(flags.join(" "), async () => {
      await using world = await makeWorld();
      assert.deepEqual(talk(world, flags), flags.map(() => "redirect"));
      assert.deepEqual(world.datapath.connections().map((entry) => entry.state), [state]);
    });
  }
});

Deno.test("a pod that may not speak first still answers", async () => {
  await using world = await makeWorld();
  muteB(world);
  assert.deepEqual(talk(world, ["<S"]), ["POLICY_DENIED"]);
  assert.deepEqual(talk(world, ["S", "<SA", "A", "<A"]), Array(4).fill("redirect"));
  assert.deepEqual(
    talk(world, ["<S"]),
    ["POLICY_DENIED"],
    "a SYN is no answer, whatever entry it meets",
  );
});

Deno.test("replies of UDP, ICMP and SCTP pass to where they came from", async (t) => {
  const rows = [
    ["UDP", udp({ srcPort: 9, dstPort: 53 }), udp({ srcPort: 53, dstPort: 9 })],
    ["ICMP", icmpEcho({ id: 4 }), icmpEcho({ id: 4, reply: true })],
    [
      "SCTP",
      sctp({ srcPort: 9, dstPort: 10 }, [{ type: 1 }]),
      sctp({ srcPort: 10, dstPort: 9 }, [{ type: 2 }]),
    ],
  ] as const;
  for (const [name, request, reply] of rows) {
    await t.step(`${name} between pods`, async () => {
      await using world = await makeWorld();
      muteB(world);
      const { a, b, datapath } = world;
      assert.equal(result(datapath.run("pod_egress", sent(a, B, request), a)), "redirect");
      assert.equal(result(datapath.run("pod_egress", sent(b, A, reply), b)), "redirect");
    });
    await t.step(`${name} from the outside`, async () => {
      await using world = await makeWorld();
      muteB(world);
      const { b, datapath } = world;
      const from = { ifindex: b.ifindex, ingressIfindex: UPLINK };
      assert.equal(
        result(datapath.run("pod_ingress", arriving(b, OUTSIDE, request), from)),
        "pass",
      );
      assert.equal(result(datapath.run("pod_egress", sent(b, OUTSIDE, reply), b)), "pass");
    });
    await t.step(`${name} to the outside`, async () => {
      await using world = await makeWorld();
      isolateB(world);
      const { b, datapath } = world;
      const from = { ifindex: b.ifindex, ingressIfindex: UPLINK };
      assert.notEqual(
        result(datapath.run("pod_ingress", arriving(b, OUTSIDE, reply), from)),
        "pass",
      );
      assert.equal(result(datapath.run("pod_egress", sent(b, OUTSIDE, request), b)), "pass");
      assert.equal(result(datapath.run("pod_ingress", arriving(b, OUTSIDE, reply), from)), "pass");
    });
  }
});

Deno.test("a living flow is judged again when policy changes", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  assert.deepEqual(talk(world, ["S", "<SA", "A"]), Array(3).fill("redirect"));
  isolateB(world);
  assert.deepEqual(talk(world, ["A"]), ["redirect"], "not before the generation moves");
  const generation = datapath.state.evaluationGeneration + 1;
  datapath.set({ evaluationGeneration: generation });
  datapath.events();
  assert.deepEqual(talk(world, ["A", "<A"]), ["POLICY_DENIED", "POLICY_DENIED"]);
  assert.deepEqual(datapath.events().map(({ ruleId, eventType }) => [ruleId, eventType]), [[
    90,
    DROP,
  ], [90, DROP]]);
  datapath.addRule({ action: "allow", ruleId: 20, dstIdentity: IDENTITY_B, direction: INGRESS });
  assert.deepEqual(talk(world, ["A", "<A"]), ["redirect", "redirect"]);
  assert.deepEqual(datapath.connections().map(({ generation }) => generation), [generation]);
});

Deno.test("a pod that left: its connections go nowhere, also when another has its address", async () => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  assert.deepEqual(talk(world, ["S", "<SA", "A"]), Array(3).fill("redirect"));
  datapath.removePod(b);
  assert.deepEqual(talk(world, ["A"]), ["NO_ROUTE"]);
  datapath.addPod({ ...b, ifindex: a.ifindex + 1000, identity: 300 });
  datapath.addRule({ action: "deny", ruleId: 92, dstIdentity: 300, direction: INGRESS, kind: 1 });
  assert.deepEqual(talk(world, ["A"]), ["POLICY_DENIED"]);
  assert.equal(datapath.collect().conntrackExpired, 1, "its entry is collected before its time");
});

Deno.test("ICMP errors pass with the flow that they are about", async (t) => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  const request = ipv4({ src: A, dst: B }, udp({ srcPort: 9, dstPort: 53 }));
  const outbound = ipv4({ src: A, dst: OUTSIDE }, udp({ srcPort: 9, dstPort: 53 }));
  datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, request), a);
  datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, outbound), a);
  const port = { type: 3, code: 3 };
  const fragmentation = { type: 3, code: 4, rest: 1400 };
  const from = { ifindex: a.ifindex, ingressIfindex: UPLINK };
  const rows = [
    [
      "port unreachable from the pod",
      () => datapath.run("pod_egress", sent(b, A, icmpError(port, request)), b),
      "redirect",
    ],
    [
      "about a packet of somebody else",
      () => datapath.run("pod_egress", sent(b, A, icmpError(port, outbound)), b),
      "ICMP_UNRELATED",
    ],
    [
      "path MTU from a router outside",
      () =>
        datapath.run(
          "pod_ingress",
          arriving(a, "203.0.113.9", icmpError(fragmentation, outbound)),
          from,
        ),
      "pass",
    ],
    [
      "under the address of another pod",
      () => datapath.run("pod_ingress", arriving(a, B, icmpError(port, outbound)), from),
      "SPOOFED_SOURCE_IP",
    ],
    ...([
      ["whose packet had options", { options: Uint8Array.of(148, 4, 0, 0) }, 32, "pass"],
      ["whose packet was a first fragment", { moreFragments: true }, 28, "pass"],
      ["whose packet was a later fragment", { fragmentOffset: 8 }, 28, "ICMP_UNRELATED"],
      ["whose packet is cut before its ports end", {}, 26, "MALFORMED"],
      ["whose packet is cut in its header", {}, 12, "MALFORMED"],
      ["whose packet has no header length", { ihl: 4 }, 28, "MALFORMED"],
      ["whose packet is of another version", { version: 6 }, 28, "MALFORMED"],
      ["whose packet was another's", { src: B }, 28, "ICMP_UNRELATED"],
    ] as const).map(([name, spec, bytes, expected]) =>
      [
        name,
        () => {
          const quoted = ipv4(
            { src: A, dst: OUTSIDE, ...spec },
            udp({ srcPort: 9, dstPort: 53 }),
          );
          const error = icmpError(fragmentation, quoted, bytes);
          return datapath.run("pod_ingress", arriving(a, "203.0.113.9", error), from);
        },
        expected,
      ] as const
    ),
    [
      "about an error about a packet of the flow",
      () => {
        const error = icmpError(port, outbound);
        const quoted = ipv4({ src: A, dst: OUTSIDE }, error);
        return datapath.run(
          "pod_ingress",
          arriving(a, "203.0.113.9", icmpError(port, quoted, 56)),
          from,
        );
      },
      "ICMP_UNRELATED",
    ],
    [
      "about a packet that was never sent",
      () =>
        datapath.run(
          "pod_ingress",
          arriving(
            a,
            "203.0.113.9",
            icmpError(port, ipv4({ src: A, dst: OUTSIDE }, udp({ srcPort: 10, dstPort: 53 }))),
          ),
          from,
        ),
      "ICMP_UNRELATED",
    ],
    [
      "a redirect",
      () =>
        datapath.run(
          "pod_ingress",
          arriving(a, "203.0.113.9", icmpError({ type: 5 }, outbound)),
          from,
        ),
      "ICMP_UNRELATED",
    ],
  ] as const;
  for (const [name, run, expected] of rows) {
    await t.step(name, () => assert.equal(result(run()), expected));
  }
});

Deno.test("fragments", async (t) => {
  const datagram = udp({ srcPort: 9, dstPort: 53 }, new Uint8Array(3000));
  const cut = (
    sizes: readonly number[],
    id = 1,
    ends: { src: string; dst: string } = { src: A, dst: B },
  ) => fragments({ ...ends, id }, datagram, sizes);
  const [first, middle, last] = cut([1000, 1000]) as [never, never, never];
  const [, overlapping] = fragments({ src: A, dst: B, id: 1 }, datagram, [992, 1000]) as [
    never,
    never,
  ];
  const [tiny] = cut([]).length
    ? fragments({ src: A, dst: B, id: 2 }, tcp({ srcPort: 1, dstPort: 80, flags: "S" }, "data"), [
      16,
    ])
    : [];
  const rows = [
    {
      name: "in order",
      pieces: [first, middle, last],
      expected: ["redirect", "redirect", "redirect"],
    },
    { name: "an orphan", pieces: [middle], expected: ["FRAGMENT_ORPHAN"] },
    {
      name: "after the whole datagram",
      pieces: [first, middle, last, middle],
      expected: ["redirect", "redirect", "redirect", "FRAGMENT_ORPHAN"],
    },
    {
      name: "an overlap ends the datagram",
      pieces: [first, overlapping, last],
      expected: ["redirect", "FRAGMENT_OVERLAP", "FRAGMENT_OVERLAP"],
    },
    {
      name: "a second first fragment",
      pieces: [first, first],
      expected: ["redirect", "FRAGMENT_OVERLAP"],
    },
    {
      name: "a first fragment too short for TCP's header",
      pieces: [tiny],
      expected: ["MALFORMED"],
    },
  ];
  for (const { name, pieces, expected } of rows) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { a, datapath } = world;
      const outcomes = pieces.map((piece) =>
        result(
          datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, piece as never), a),
        )
      );
      assert.deepEqual(outcomes, expected);
    });
  }
  await t.step("of a datagram that policy denies", async () => {
    await using world = await makeWorld();
    isolateB(world);
    const { a, datapath } = world;
    const outcomes = [first, middle].map((piece) =>
      result(datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, piece), a))
    );
    assert.deepEqual(outcomes, ["POLICY_DENIED", "FRAGMENT_ORPHAN"]);
  });
  await t.step("a full table refuses", async () => {
    await using world = await makeWorld({ FRAGMENTS: 1 });
    const { a, datapath } = world;
    const outcomes = [1, 2, 3].map((id) =>
      result(
        datapath.run(
          "pod_egress",
          ethernet({ src: a.mac, dst: GATEWAY_MAC }, cut([1000, 1000], id)[0] as never),
          a,
        ),
      )
    );
    assert.ok(outcomes.includes("FRAGMENT_TABLE_FULL"), outcomes.join());
  });
  await t.step("a pod has its share of the table, and gets it back", async () => {
    await using world = await makeWorld({ FRAGMENTS: 64 });
    const { a, b, datapath } = world;
    datapath.set({ fragmentQuota: 2 });
    const send = (from: typeof a, to: string, id: number, index: number) => {
      const piece = cut([1000], id, { src: from.ip.toString(), dst: to })[index] as never;
      const frame = ethernet({ src: from.mac, dst: GATEWAY_MAC }, piece);
      return result(datapath.run("pod_egress", frame, from));
    };
    const begun = [1, 2, 3].map((id) => send(a, B, id, 0));
    assert.deepEqual(begun, ["redirect", "redirect", "FRAGMENT_TABLE_FULL"]);
    assert.equal(send(b, A, 4, 0), "redirect", "another pod's share is its own");
    assert.equal(send(a, B, 1, 1), "redirect", "the end of the first datagram");
    assert.equal(send(a, B, 5, 0), "redirect", "makes room for another");
    datapath.set({ timeoutSeconds: Array(9).fill(0), hz: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(datapath.collect().fragmentsExpired, 3);
    datapath.set({ timeoutSeconds: Array(9).fill(60), hz: 1000 });
    assert.deepEqual([6, 7, 8].map((id) => send(a, B, id, 0)), begun);
  });
});

Deno.test("a full conntrack table refuses new flows and keeps living ones", async () => {
  await using world = await makeWorld({ CONNTRACK: 8, CONNTRACK_MORE: 4 });
  const { a, datapath } = world;
  const syn = (srcPort: number) =>
    result(datapath.run("pod_egress", sent(a, B, tcp({ srcPort, dstPort: 80, flags: "S" })), a));
  const outcomes = Array.from({ length: 64 }, (_, index) => syn(1000 + index));
  assert.equal(outcomes[0], "redirect");
  assert.equal(outcomes.at(-1), "CONNTRACK_FULL");
  assert.equal(syn(1000), "redirect");
  assert.ok(datapath.statistic(4) > 0n);
});

Deno.test("events: what a connection says of itself", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  talk(world, ["S", "<SA", "A", "PA", "<A", "PA", "FA", "<FA", "A"]);
  const told = datapath.events().map((
    { eventType, isReply, tcpFlags, packets },
  ) => [eventType, isReply, tcpFlags, Number(packets)]);
  assert.deepEqual(told, [[NEW, 0, 2, 1], [UPDATE, 1, 18, 1], [UPDATE, 0, 17, 4], [
    UPDATE,
    1,
    17,
    2,
  ]]);
  datapath.set({ timeoutSeconds: Array(9).fill(0), hz: 1 });
  // Time in jiffies has gone on by more than no second at all.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(datapath.collect().conntrackExpired, 1);
  assert.deepEqual(datapath.connections(), []);
  const ends = datapath.events().filter(({ eventType }) => eventType === END);
  assert.deepEqual(ends.map(({ isReply, packets }) => [isReply, Number(packets)]), [[0, 1], [
    1,
    0,
  ]]);
});

Deno.test("events: a drop is told at once, its like once an interval", async () => {
  await using world = await makeWorld();
  isolateB(world);
  const { datapath } = world;
  datapath.set({ flowIntervalJiffies: 1_000_000 });
  talk(world, ["S", "S", "S"]);
  assert.deepEqual(datapath.events().map(({ packets }) => Number(packets)), [1]);
  datapath.set({ flowIntervalJiffies: 0 });
  datapath.collect();
  assert.deepEqual(
    datapath.events().map(({ packets, ruleId, eventType }) => [Number(packets), ruleId, eventType]),
    [[2, 90, DROP]],
  );
});

Deno.test("events: attempts from other ports are told at once, a few times an interval", async () => {
  await using world = await makeWorld();
  isolateB(world);
  const { a, datapath } = world;
  datapath.set({ flowIntervalJiffies: 1_000_000 });
  for (let attempt = 0; attempt < 20; attempt++) {
    datapath.run(
      "pod_egress",
      sent(a, B, tcp({ srcPort: 1000 + attempt, dstPort: 80, flags: "S" })),
      a,
    );
  }
  assert.deepEqual(datapath.events().map(({ packets }) => Number(packets)), Array(9).fill(1));
  datapath.set({ flowIntervalJiffies: 0 });
  datapath.collect();
  assert.deepEqual(datapath.events().map(({ packets }) => Number(packets)), [11]);
});

Deno.test("events by level", async (t) => {
  for (
    const [flowLevel, expected] of [[0, []], [1, [DROP]], [2, [NEW, DROP]], [3, [
      NEW,
      DROP,
    ]]] as const
  ) {
    await t.step(`level ${flowLevel}`, async () => {
      await using world = await makeWorld();
      const { a, datapath } = world;
      datapath.set({ flowLevel });
      talk(world, ["S"]);
      datapath.run("pod_egress", sent(a, "10.244.0.99", udp({ srcPort: 1, dstPort: 2 })), a);
      assert.deepEqual(datapath.events().map(({ eventType }) => eventType), expected);
    });
  }
});

Deno.test("a summary of a long flow", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  datapath.set({ flowIntervalJiffies: 1_000_000 });
  talk(world, ["S", "<SA", "A", "A", "A"]);
  datapath.events();
  datapath.set({ flowIntervalJiffies: 0 });
  talk(world, ["A"]);
  assert.deepEqual(
    datapath.events().map((
      { eventType, isReply, packets },
    ) => [eventType, isReply, Number(packets)]),
    [[UPDATE, 0, 4]],
  );
});

Deno.test("the host's own traffic to a pod, and the pod's answers", async () => {
  await using world = await makeWorld();
  muteB(world);
  const { b, datapath } = world;
  const request = arriving(b, HOST, tcp({ srcPort: 5, dstPort: 80, flags: "S" }));
  assert.equal(result(datapath.run("pod_ingress", request, b)), "pass");
  const answer = sent(b, HOST, tcp({ srcPort: 80, dstPort: 5, flags: "SA" }));
  assert.equal(result(datapath.run("pod_egress", answer, b)), "pass");
});

Deno.test("connections beyond their group's slots are found, end, and leave nothing", async () => {
  await using world = await makeWorld({ CONNTRACK: 8, CONNTRACK_MORE: 64 });
  const { a, b, datapath } = world;
  const ports = Array.from({ length: 40 }, (_, index) => 1000 + index);
  const more = () =>
    new BigUint64Array(
      datapath.map("CONNTRACK_MORE_COUNT").lookup(new Uint8Array(4))?.buffer ?? [],
    )[0];
  for (const srcPort of ports) {
    const request = sent(a, B, tcp({ srcPort, dstPort: 80, flags: "S" }));
    assert.equal(result(datapath.run("pod_egress", request, a)), "redirect");
  }
  assert.equal(datapath.connections().length, ports.length);
  assert.equal(more(), BigInt(ports.length - 8));
  isolateB(world);
  for (const srcPort of ports) {
    const answer = sent(b, A, tcp({ srcPort: 80, dstPort: srcPort, flags: "SA" }));
    assert.equal(result(datapath.run("pod_egress", answer, b)), "redirect", `to port ${srcPort}`);
  }
  assert.equal(datapath.statistic(2), BigInt(ports.length), "none was opened again");
  datapath.set({ timeoutSeconds: Array(9).fill(0), hz: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(datapath.collect().conntrackExpired, ports.length);
  assert.deepEqual(datapath.connections(), []);
  assert.equal(more(), 0n);
});
