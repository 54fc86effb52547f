/** Trace against the shipped programs: random entries of every shape, and what BPF_PROG_TEST_RUN does under them. */
import assert from "node:assert/strict";
import { Connections } from "../../dataplane/maps/connections.ts";
import { KernelView } from "../../dataplane/trace/kernel_view.ts";
import { type HookFacts, Trail } from "../../dataplane/trace/trail.ts";
import { follow } from "../../dataplane/trace/walk.ts";
import { DropReason, FlowEventType, PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Cidr, IpProtocol } from "../../shared/net/mod.ts";
import { icmpEcho, tcp, type TransportLayer, udp } from "../../shared/testing/packets.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { EGRESS, INGRESS, ip, type Rule } from "../datapath/datapath.ts";
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
} from "../datapath/world.ts";

const SEEDS = 20;
const PACKETS = 12;
const BOTH = 0;
const ISOLATION = 1;
const CIDRS = [
  [Cidr.parse("198.51.100.0/24"), 2 ** 24],
  [Cidr.parse("10.244.0.2/31"), 2 ** 24 + 1],
  [Cidr.parse("192.0.2.0/24"), 2 ** 24 + 2],
] as const;
const IDENTITIES = [
  0,
  0,
  0,
  1,
  2,
  IDENTITY_A,
  IDENTITY_B,
  ...CIDRS.map(([, identity]) => identity),
];
const PORTS = [53, 80, 81, 8080];
const WAYS = [[A, B], [B, A], [A, OUTSIDE], [OUTSIDE, B], [HOST, A], [A, HOST]] as const;
const { TCP, UDP, ICMP } = IpProtocol;
const FACTS: HookFacts = { attached: () => true, interfaceName: () => "veth", hasRoom: () => true };

interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** What becomes of a packet; the rule when it is known. */
interface Fate {
  readonly reason: string;
  readonly verdict: string;
  readonly rule: number;
}

function randomRule(random: SeededRandom, ruleId: number): Rule {
  if (random.chance(20)) {
    const identity = random.pick([IDENTITY_A, IDENTITY_B]);
    const direction = random.pick([INGRESS, EGRESS]);
    const side = direction === INGRESS ? { dstIdentity: identity } : { srcIdentity: identity };
    const action = random.pick(["deny", "audit"] as const);
    return { action, ruleId, direction, kind: ISOLATION, ...side };
  }
  const protocol = random.pick([0, TCP, UDP, ICMP]);
  const prefixLen = protocol === ICMP ? 0 : random.pick([0, 0, 0, 16, 13, 1]);
  const mask = 0xffff0000 >>> prefixLen & 0xffff;
  return {
    action: random.chance(60) ? "allow" : "deny",
    ruleId,
    direction: random.pick([BOTH, INGRESS, EGRESS]),
    srcIdentity: random.pick(IDENTITIES),
    dstIdentity: random.pick(IDENTITIES),
    protocol,
    prefixLen,
    dstPort: random.pick(PORTS) & mask,
  };
}

/** An entry of the same step in the search that says the opposite: deny wins. */
function contradiction(rule: Rule): Rule {
  const action = rule.action === "deny" ? "allow" : "deny";
  const direction = rule.direction === BOTH ? INGRESS : BOTH;
  return { ...rule, action, direction, ruleId: rule.ruleId + 100 };
}

function frameOf({ datapath, a, b }: World, packet: Packet, opens: boolean) {
  const { src, dst, protocol, srcPort, dstPort } = packet;
  const payload: TransportLayer = protocol === TCP
    ? tcp({ srcPort, dstPort, flags: opens ? "S" : "A" })
    : protocol === UDP
    ? udp({ srcPort, dstPort })
    : icmpEcho({ id: srcPort });
  const pods = new Map([[A, a], [B, b]]);
  const sender = pods.get(src);
  if (sender) return datapath.run("pod_egress", sent(sender, dst, payload), sender);
  const receiver = pods.get(dst);
  assert(receiver);
  const hook = { ifindex: receiver.ifindex, ingressIfindex: src === HOST ? 0 : UPLINK };
  return datapath.run("pod_ingress", arriving(receiver, src, payload), hook);
}

/** What a packet that opens a flow meets, as its event tells. */
function meet(world: World, packet: Packet): Fate {
  const { datapath } = world;
  for (const [key] of [...datapath.map("DROP_FLOWS").entries()]) {
    datapath.map("DROP_FLOWS").delete(key);
  }
  datapath.events();
  const { verdict, reason = "NONE" } = frameOf(world, packet, true);
  const event = datapath.events().at(-1);
  assert(event, JSON.stringify(packet));
  assert.equal(event.eventType, verdict === "drop" ? FlowEventType.DROP : FlowEventType.NEW);
  return { reason, verdict: PolicyAction[event.verdict] ?? "", rule: event.ruleId };
}

function traced({ datapath }: World, connections: Connections, packet: Packet): Fate {
  const { src, dst, ...rest } = packet;
  const view = new KernelView((name) => datapath.map(name), connections);
  const trail = new Trail(view, FACTS, { ...rest, srcIp: ip(src).value, dstIp: ip(dst).value });
  const { verdict = 0, dropReason = 0, ruleId = 0 } = follow(trail);
  return {
    reason: DropReason[dropReason] ?? "",
    verdict: PolicyAction[verdict] ?? "",
    rule: ruleId,
  };
}

function answerTo({ src, dst, srcPort, dstPort, protocol }: Packet): Packet {
  return { src: dst, dst: src, srcPort: dstPort, dstPort: srcPort, protocol };
}

function replaceRules({ datapath }: World, random: SeededRandom): void {
  for (const [key] of [...datapath.map("POLICIES").entries()]) datapath.map("POLICIES").delete(key);
  const count = 1 + random.below(random.pick([6, 40]));
  for (let ruleId = 20; ruleId < 20 + count; ruleId++) {
    const rule = randomRule(random, ruleId);
    datapath.addRule(rule);
    if (rule.kind !== ISOLATION && random.chance(40)) datapath.addRule(contradiction(rule));
  }
  datapath.set({
    defaultDeny: random.below(2),
    evaluationGeneration: datapath.state.evaluationGeneration + 1,
  });
}

Deno.test("trace tells what the programs do, under random entries and new generations", async () => {
  await using world = await makeWorld();
  const { datapath } = world;
  const connections = new Connections((name) => datapath.map(name), datapath.program("connection"));
  for (const [cidr, identity] of CIDRS) datapath.addCidr(cidr, identity);
  const verdicts = new Map<string, number>();
  let srcPort = 1000;
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = new SeededRandom(seed);
    replaceRules(world, random);
    const packets = Array.from({ length: PACKETS }, (): Packet => {
      const [src, dst] = random.pick(WAYS);
      const protocol = random.pick([TCP, UDP, ICMP]);
      const dstPort = protocol === ICMP ? 0 : random.pick(PORTS);
      return { src, dst, protocol, srcPort: ++srcPort, dstPort };
    });
    const passed = packets.filter((packet) => {
      const told = traced(world, connections, { ...packet, srcPort: 0 });
      const met = meet(world, packet);
      assert.deepEqual(told, met, `seed ${seed}, new: ${JSON.stringify(packet)}`);
      assert.deepEqual(
        traced(world, connections, packet),
        met,
        `seed ${seed}, known: ${JSON.stringify(packet)}`,
      );
      verdicts.set(met.verdict, (verdicts.get(met.verdict) ?? 0) + 1);
      return met.verdict !== "DENY";
    });
    replaceRules(world, random);
    for (const sent of passed) {
      const packet = sent.protocol !== ICMP && random.chance(50) ? answerTo(sent) : sent;
      const told = traced(world, connections, packet);
      const { reason = "NONE", verdict } = frameOf(world, packet, false);
      assert.equal(told.reason, reason, `seed ${seed}, again: ${JSON.stringify(packet)}`);
      if (verdict === "drop") continue;
      // What it was judged to be is what the entry remembers.
      assert.deepEqual(traced(world, connections, packet), told);
    }
  }
  for (const verdict of ["ALLOW", "DENY", "AUDIT"]) {
    assert((verdicts.get(verdict) ?? 0) > 0, verdict);
  }
});
