/** Living flows under new policies: whichever end's packet comes first, the same decision is made again. */
import assert from "node:assert/strict";
import { Cidr } from "../../shared/net/mod.ts";
import { ethernet, icmpError, ipv4, tcp, udp } from "../../shared/testing/packets.ts";
import { EGRESS, GATEWAY_MAC, INGRESS, ip, type Outcome, result } from "./datapath.ts";
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

const WORLD_IDENTITY = 2;
const CIDR_IDENTITY = 2 ** 24;
/** An address of the host that nobody has registered. */
const UNREGISTERED = "172.17.0.1";
const request = tcp({ srcPort: 40_000, dstPort: 80, flags: "S" });
const more = tcp({ srcPort: 40_000, dstPort: 80, flags: "A" });
const answer = tcp({ srcPort: 80, dstPort: 40_000, flags: "SA" });

/** The agent's rule that the node reaches its pods and they the node. */
function allowNode({ datapath }: World): void {
  datapath.addRule({ action: "allow", ruleId: 3, srcIdentity: 1, direction: INGRESS });
  datapath.addRule({ action: "allow", ruleId: 3, dstIdentity: 1, direction: EGRESS });
}

function judgeAgain({ datapath }: World): void {
  datapath.set({ evaluationGeneration: datapath.state.evaluationGeneration + 1 });
}

function isolate({ datapath }: World, identity: number, direction: number): void {
  datapath.addRule({
    action: "deny",
    ruleId: 90,
    ...(direction === INGRESS ? { dstIdentity: identity } : { srcIdentity: identity }),
    direction,
    kind: 1,
  });
}

interface Flow {
  readonly name: string;
  /** The origin's packet. */
  readonly forth: (world: World, payload: typeof request) => Outcome;
  /** The answer's. */
  readonly back: (world: World, payload: typeof request) => Outcome;
  /** What denies it. */
  readonly deny: (world: World) => void;
}

const FLOWS: readonly Flow[] = [
  {
    name: "a pod to a pod",
    forth: ({ datapath, a }, payload) => datapath.run("pod_egress", sent(a, B, payload), a),
    back: ({ datapath, b }, payload) => datapath.run("pod_egress", sent(b, A, payload), b),
    deny: (world) => isolate(world, IDENTITY_B, INGRESS),
  },
  {
    name: "a pod to the outside",
    forth: ({ datapath, a }, payload) => datapath.run("pod_egress", sent(a, OUTSIDE, payload), a),
    back: ({ datapath, a }, payload) =>
      datapath.run("pod_ingress", arriving(a, OUTSIDE, payload), {
        ifindex: a.ifindex,
        ingressIfindex: UPLINK,
      }),
    deny: (world) => isolate(world, IDENTITY_A, EGRESS),
  },
  {
    name: "a pod to an address of the host that nobody registered",
    forth: ({ datapath, a }, payload) =>
      datapath.run("pod_egress", sent(a, UNREGISTERED, payload), a),
    back: ({ datapath, a }, payload) =>
      datapath.run("pod_ingress", arriving(a, UNREGISTERED, payload), a),
    deny: (world) => isolate(world, IDENTITY_A, EGRESS),
  },
  {
    name: "the outside to a pod",
    forth: ({ datapath, b }, payload) =>
      datapath.run("pod_ingress", arriving(b, OUTSIDE, payload), {
        ifindex: b.ifindex,
        ingressIfindex: UPLINK,
      }),
    back: ({ datapath, b }, payload) => datapath.run("pod_egress", sent(b, OUTSIDE, payload), b),
    deny: (world) => isolate(world, IDENTITY_B, INGRESS),
  },
  {
    name: "the outside to a pod, under the node's address",
    forth: ({ datapath, b }, payload) =>
      datapath.run("pod_ingress", arriving(b, HOST, payload), {
        ifindex: b.ifindex,
        ingressIfindex: UPLINK,
      }),
    back: ({ datapath, b }, payload) => datapath.run("pod_egress", sent(b, HOST, payload), b),
    deny: (world) => isolate(world, IDENTITY_B, INGRESS),
  },
  {
    name: "a pod to a pod by the host's stack, under the node's address",
    forth: ({ datapath, a, b }, payload) =>
      datapath.run("pod_ingress", arriving(b, HOST, payload), {
        ifindex: b.ifindex,
        ingressIfindex: a.ifindex,
      }),
    back: ({ datapath, b }, payload) => datapath.run("pod_egress", sent(b, HOST, payload), b),
    deny: (world) => isolate(world, IDENTITY_B, INGRESS),
  },
];

Deno.test("a flow that is no longer allowed ends, whichever end speaks next", async (t) => {
  for (const { name, forth, back, deny } of FLOWS) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      allowNode(world);
      const open = [forth(world, request), back(world, answer), forth(world, more)];
      assert.deepEqual(open.map(({ reason }) => reason), Array(3).fill(undefined));
      deny(world);
      judgeAgain(world);
      const after = [back(world, answer), forth(world, more), back(world, answer)];
      assert.deepEqual(after.map(result), Array(3).fill("POLICY_DENIED"));
    });
  }
});

Deno.test("a flow that is still allowed goes on, and is judged only once", async (t) => {
  for (const { name, forth, back } of FLOWS) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { datapath } = world;
      const wanted = [forth(world, request), back(world, answer), forth(world, more)].map(result);
      judgeAgain(world);
      assert.deepEqual([back(world, answer), forth(world, more)].map(result), [
        wanted[1],
        wanted[2],
      ]);
      const evaluations = datapath.statistic(6);
      assert.deepEqual([back(world, answer), forth(world, more)].map(result), [
        wanted[1],
        wanted[2],
      ]);
      assert.equal(datapath.statistic(6), evaluations);
    });
  }
});

Deno.test("the node's own flow to an isolated pod stays its own", async () => {
  await using world = await makeWorld();
  const { b, datapath } = world;
  allowNode(world);
  isolate(world, IDENTITY_B, INGRESS);
  const forth = () => result(datapath.run("pod_ingress", arriving(b, HOST, request), b));
  const back = () => result(datapath.run("pod_egress", sent(b, HOST, answer), b));
  assert.deepEqual([forth(), back()], ["pass", "pass"]);
  judgeAgain(world);
  assert.deepEqual([back(), forth()], ["pass", "pass"]);
});

Deno.test("a pod whose identity changes is another to its living flows", async (t) => {
  for (const first of ["forth", "back"] as const) {
    await t.step(`${first} first`, async () => {
      await using world = await makeWorld();
      const [between] = FLOWS;
      assert.ok(between);
      isolate(world, IDENTITY_B, INGRESS);
      world.datapath.addRule({
        action: "allow",
        ruleId: 20,
        srcIdentity: IDENTITY_A,
        dstIdentity: IDENTITY_B,
        direction: INGRESS,
      });
      const { forth, back } = between;
      assert.deepEqual([forth(world, request), back(world, answer)].map(result), [
        "redirect",
        "redirect",
      ]);
      world.datapath.addPod({ ...world.a, identity: 300 });
      judgeAgain(world);
      assert.equal(
        result(between[first](world, first === "forth" ? more : answer)),
        "POLICY_DENIED",
      );
    });
  }
});

Deno.test("an ICMP error about a flow that is no longer allowed drops", async () => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  const quoted = ipv4({ src: A, dst: B }, udp({ srcPort: 9, dstPort: 53 }));
  const error = () =>
    result(datapath.run("pod_egress", sent(b, A, icmpError({ type: 3, code: 3 }, quoted)), b));
  datapath.run("pod_egress", ethernet({ src: a.mac, dst: GATEWAY_MAC }, quoted), a);
  assert.equal(error(), "redirect");
  isolate(world, IDENTITY_B, INGRESS);
  judgeAgain(world);
  assert.equal(error(), "ICMP_UNRELATED");
});

Deno.test("an entry without direction names a CIDR in both decisions", async (t) => {
  for (const selected of [IDENTITY_A, 0]) {
    await t.step(selected === 0 ? "of any pod" : "of one pod", async () => {
      await using world = await makeWorld();
      const { a, datapath } = world;
      datapath.addCidr(Cidr.parse("198.51.100.0/24"), CIDR_IDENTITY);
      datapath.addRule({
        action: "deny",
        ruleId: 40,
        srcIdentity: selected,
        dstIdentity: CIDR_IDENTITY,
        direction: 0,
      });
      assert.equal(
        result(datapath.run("pod_egress", sent(a, OUTSIDE, request), a)),
        "POLICY_DENIED",
      );
    });
  }
});

Deno.test("an address that becomes a pod is reached as that pod", async () => {
  await using world = await makeWorld();
  const { a, b, datapath } = world;
  datapath.removePod(b);
  datapath.addAddress(ip(B), WORLD_IDENTITY);
  assert.equal(result(datapath.run("pod_egress", sent(a, B, request), a)), "pass");
  datapath.addPod(b);
  isolate(world, IDENTITY_B, INGRESS);
  judgeAgain(world);
  // Its way leads through the host's stack, as before, to the pod's own hook.
  assert.equal(result(datapath.run("pod_egress", sent(a, B, more), a)), "pass");
  const hop = { ifindex: b.ifindex, ingressIfindex: a.ifindex };
  assert.equal(result(datapath.run("pod_ingress", arriving(b, A, more), hop)), "POLICY_DENIED");
});
