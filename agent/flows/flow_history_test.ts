import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DropReason,
  FlowEventSchema,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import type { Labels } from "../identity/mod.ts";
import type { Attachment } from "../state/mod.ts";
import { lastVerdicts } from "./last_verdicts.ts";
import { FlowHistory, HISTORY_BOUNDS } from "./flow_history.ts";

const WEB = "10.244.0.10";
const API = "10.244.0.11";
const OUTSIDE = "198.51.100.7";
const NODE = "192.0.2.10";
const [TCP, UDP, ICMP] = [6, 17, 1];
const [SYN, FIN_ACK] = [0x02, 0x11];

/** Denied by the receiver. */
const DENIED = {
  eventType: FlowEventType.DROP,
  dropReason: DropReason.POLICY_DENIED,
  ruleDirection: PolicyDirection.INGRESS,
};

const ip = (text: string) => Ipv4.parse(text).value;

function pod(address: string, app: string): Attachment {
  return {
    containerId: `container-${app}-${address}`,
    ifName: "eth0",
    podNamespace: "shop",
    podName: app,
    netns: "",
    netnsId: "",
    ip: Ipv4.parse(address),
    mac: Mac.ZERO,
    gateway: Ipv4.parse("10.244.0.1"),
    prefixLen: 24,
    mtu: 1500,
    hostIfName: "",
    hostIfindex: 1,
    labels: {},
    identityLabels: { app, "novanet.io/namespace": "shop" },
    state: "ready",
    createdUnixMs: 500,
  };
}

/** shop/web and shop/api, a node and the outside. */
class World {
  nowMs = 1000;
  readonly pods = new Map([[ip(WEB), pod(WEB, "web")], [ip(API), pod(API, "api")]]);
  readonly history = new FlowHistory({
    podOf: (address) => this.pods.get(address),
    pods: () => [...this.pods.values()],
    now: () => this.nowMs,
  });

  /** A flow from one address to another, at the hook where a pod sends it if one does. */
  see(
    from: string,
    to: string,
    protocol: number,
    dstPort: number,
    more: MessageInitShape<typeof FlowEventSchema> = {},
  ): void {
    const isPod = this.pods.has(ip(from));
    this.history.record(create(FlowEventSchema, {
      srcIp: ip(from),
      dstIp: ip(to),
      srcIdentity: identityOf(from),
      dstIdentity: identityOf(to),
      protocol,
      srcPort: 40_000,
      dstPort,
      tcpFlags: protocol === TCP ? SYN : 0,
      verdict: PolicyAction.ALLOW,
      direction: isPod ? PolicyDirection.EGRESS : PolicyDirection.INGRESS,
      eventType: FlowEventType.NEW,
      ...more,
    }));
  }

  /** Gives a pod other labels. */
  relabel(address: string, app: string): Attachment {
    const pod = this.pods.get(ip(address));
    assert(pod);
    const relabelled = { ...pod, identityLabels: this.labels(app) };
    this.pods.set(ip(address), relabelled);
    return relabelled;
  }

  labels(app: string): Labels {
    return { app, "novanet.io/namespace": "shop" };
  }

  of(app: string) {
    const [history, ...more] = this.history.ofLabels(this.labels(app));
    assert(history && more.length === 0);
    return history;
  }

  /** The flows of a pod, as text. */
  flows(app: string): string[] {
    return this.history.ofLabels(this.labels(app)).flatMap((one) => [...one.flows()])
      .map(({ direction, peer, protocol, port }) => {
        const who = peer.kind === "pods"
          ? `${peer.labels.namespace}/${peer.labels.own["app"]}`
          : Ipv4.fromU32(peer.ip).toString();
        return `${direction} ${who} ${protocol}/${port}`;
      }).sort();
  }
}

function identityOf(address: string): number {
  if (address === NODE) return 1;
  if (address === OUTSIDE) return 2;
  return address === WEB ? 300 : 301;
}

Deno.test("a flow between two pods is remembered at both, once", () => {
  const world = new World();
  for (const srcPort of [40_000, 40_001]) world.see(API, WEB, TCP, 80, { srcPort });
  assert.deepEqual(world.flows("web"), ["ingress shop/api 6/80"]);
  assert.deepEqual(world.flows("api"), ["egress shop/web 6/80"]);
});

Deno.test("flows from and to the outside have an address; those of the node are counted alone", () => {
  const world = new World();
  world.see(OUTSIDE, WEB, TCP, 443);
  world.see(WEB, OUTSIDE, UDP, 53);
  world.see(NODE, WEB, TCP, 80);
  world.see(WEB, NODE, UDP, 53);
  assert.deepEqual(world.flows("web"), [`egress ${OUTSIDE} 17/53`, `ingress ${OUTSIDE} 6/443`]);
  assert.equal(world.of("web").leftOut.node, 2);
});

Deno.test("answers are no flows of their own", () => {
  const world = new World();
  world.see(WEB, OUTSIDE, UDP, 53);
  world.see(OUTSIDE, WEB, UDP, 40_000, { srcPort: 53, isReply: true });
  assert.deepEqual(world.flows("web"), [`egress ${OUTSIDE} 17/53`]);
});

Deno.test("nor are answers that come when their connection has expired", () => {
  const world = new World();
  world.see(WEB, OUTSIDE, UDP, 53);
  world.see(API, WEB, UDP, 53);
  world.see(OUTSIDE, WEB, UDP, 40_000, { srcPort: 53 });
  world.see(WEB, API, UDP, 40_000, { srcPort: 53 });
  assert.deepEqual(world.flows("web"), [`egress ${OUTSIDE} 17/53`, "ingress shop/api 17/53"]);
  assert.equal(world.of("web").leftOut.answers, 2);
  // Not from the port that was asked, or to a port that serves: flows of their own.
  world.see(OUTSIDE, WEB, UDP, 40_000, { srcPort: 54 });
  world.see(OUTSIDE, WEB, UDP, 53, { srcPort: 53 });
  assert.deepEqual(world.flows("web").filter((flow) => flow.startsWith("ingress 198")), [
    `ingress ${OUTSIDE} 17/40000`,
    `ingress ${OUTSIDE} 17/53`,
  ]);
});

Deno.test("a TCP connection counts when its beginning was seen, then or in a summary", () => {
  const world = new World();
  world.see(API, WEB, TCP, 80, { tcpFlags: 0x10 });
  assert.deepEqual([world.flows("web"), world.of("web").leftOut.unclear], [[], 1]);
  const update = { eventType: FlowEventType.UPDATE };
  world.see(API, WEB, TCP, 80, { ...update, tcpFlags: FIN_ACK });
  assert.deepEqual([world.flows("web"), world.of("web").leftOut.unclear], [[], 1]);
  world.see(API, WEB, TCP, 80, { ...update, tcpFlags: 0x1a });
  assert.deepEqual(world.flows("web"), ["ingress shop/api 6/80"]);
});

Deno.test("what policy denied stands apart, at both ends when the receiver denied it", () => {
  const world = new World();
  const drop = {
    eventType: FlowEventType.DROP,
    verdict: PolicyAction.DENY,
    dropReason: DropReason.POLICY_DENIED,
    rule: "shop/p:ingress[default-deny]",
    ruleDirection: PolicyDirection.INGRESS,
  };
  world.see(API, WEB, TCP, 81, drop);
  world.see(API, WEB, TCP, 82, { ...drop, ruleDirection: PolicyDirection.EGRESS });
  world.see(API, WEB, TCP, 83, { ...drop, dropReason: DropReason.CONNTRACK_FULL });
  const denied = (app: string) => [...world.of(app).denied()].map(({ port, rule }) => [port, rule]);
  assert.deepEqual(denied("web"), [[81, drop.rule]]);
  assert.deepEqual(denied("api"), [[81, drop.rule], [82, drop.rule]]);
  assert.deepEqual(world.flows("web"), []);
});

/** A drop by the receiver's policy. */
function denial(timestampNs: bigint, srcPort: number) {
  return {
    eventType: FlowEventType.DROP,
    verdict: PolicyAction.DENY,
    dropReason: DropReason.POLICY_DENIED,
    rule: "shop/p:ingress[default-deny]",
    ruleDirection: PolicyDirection.INGRESS,
    timestampNs,
    srcPort,
  };
}

/** The last verdict of shop/api's flow to shop/web. */
function lastVerdict(world: World): string {
  const told = lastVerdicts(world.history.ofLabels(world.labels("web")));
  return `passed ${told.passed.length}, denied ${told.denied.length}`;
}

Deno.test("a flow is told once, as it was judged last", () => {
  const world = new World();
  const see = (more: MessageInitShape<typeof FlowEventSchema>) => {
    world.see(API, WEB, TCP, 80, more);
    return lastVerdict(world);
  };
  assert.equal(see({ timestampNs: 1n }), "passed 1, denied 0");
  assert.equal(see(denial(2n, 1001)), "passed 0, denied 1");
  const end = { eventType: FlowEventType.END, timestampNs: 3n };
  assert.equal(see(end), "passed 0, denied 1", "the end of a connection of before");
  assert.equal(see({ timestampNs: 4n }), "passed 1, denied 0");
  assert.equal(see(denial(5n, 1001)), "passed 1, denied 0", "repeats of before, told late");
  assert.equal(see(denial(6n, 1002)), "passed 0, denied 1", "a new attempt");
});

Deno.test("the last verdict counts at whichever pod with the same labels it came", () => {
  const world = new World();
  const other = "10.244.0.12";
  world.pods.set(ip(other), {
    ...pod(other, "web-1"),
    identityLabels: world.labels("web"),
  });
  world.see(API, WEB, TCP, 80, { timestampNs: 1n });
  world.see(API, other, TCP, 80, denial(2n, 1001));
  assert.equal(lastVerdict(world), "passed 0, denied 1");
  world.see(API, WEB, TCP, 80, { timestampNs: 3n });
  assert.equal(lastVerdict(world), "passed 1, denied 0");
});

Deno.test("what is denied now does not stand as passing, though there is no room for the denial", () => {
  const world = new World();
  const base = ip("100.64.0.0");
  world.see(API, WEB, TCP, 80, { timestampNs: 1n });
  for (let client = 0; client < HISTORY_BOUNDS.deniedOfPod; client++) {
    const from = { srcIp: base + client, srcIdentity: 2 };
    world.see(OUTSIDE, WEB, TCP, 443, { ...denial(2n, 1001), ...from });
  }
  world.see(API, WEB, TCP, 80, denial(3n, 1001));
  assert.equal(lastVerdict(world), `passed 0, denied ${HISTORY_BOUNDS.deniedOfPod}`);
  assert.equal(world.history.size, 1, "the sender's own");
});

Deno.test("what audit would have dropped is marked, also when it passed before", () => {
  const world = new World();
  const rule = "shop/p:ingress[audit]";
  world.see(API, WEB, ICMP, 0);
  world.nowMs = 2000;
  world.see(API, WEB, ICMP, 0, { verdict: PolicyAction.AUDIT, rule });
  const [flow] = world.of("web").flows();
  assert.deepEqual(
    [flow?.audited, flow?.rule, flow?.firstMs, flow?.lastMs],
    [true, rule, 1000, 2000],
  );
});

Deno.test("a pod's flows are forgotten when its labels change, and the other pods' are not", () => {
  const world = new World();
  world.see(API, WEB, TCP, 80);
  world.relabel(API, "new");
  world.see(API, WEB, TCP, 80);
  assert.deepEqual(world.flows("web"), ["ingress shop/api 6/80", "ingress shop/new 6/80"]);
  assert.deepEqual(world.flows("new"), ["egress shop/web 6/80"]);
  assert.deepEqual(world.flows("api"), []);
});

Deno.test("a million clients fill a pod's share, which is counted, and take nobody else's", () => {
  const world = new World();
  const base = ip("100.64.0.0");
  const clients = HISTORY_BOUNDS.flowsOfPod + 500;
  for (let client = 0; client < clients; client++) {
    const from = { srcIp: base + client, srcIdentity: 2 };
    world.see(OUTSIDE, WEB, TCP, 443, from);
    world.see(OUTSIDE, WEB, TCP, 444, { ...from, ...DENIED });
  }
  const { size, deniedSize, leftOut } = world.of("web");
  assert.deepEqual([size, leftOut.overflow], [HISTORY_BOUNDS.flowsOfPod, 500]);
  assert.equal(deniedSize, HISTORY_BOUNDS.deniedOfPod);
  assert.equal(leftOut.deniedOverflow, clients - HISTORY_BOUNDS.deniedOfPod);
  world.see(API, OUTSIDE, TCP, 443);
  assert.deepEqual(world.flows("api"), [`egress ${OUTSIDE} 6/443`]);
});

Deno.test("all pods together stay within their bound, and those that left make room", () => {
  const world = new World();
  const base = ip("100.64.0.0");
  const pods = Array.from(
    { length: HISTORY_BOUNDS.flows / HISTORY_BOUNDS.flowsOfPod + 2 },
    (_, i) => {
      const address = `10.244.1.${i + 1}`;
      world.pods.set(ip(address), pod(address, `app-${i}`));
      return address;
    },
  );
  const fill = (address: string) => {
    for (let client = 0; client < HISTORY_BOUNDS.flowsOfPod; client++) {
      world.see(OUTSIDE, address, TCP, 443, { srcIp: base + client });
    }
  };
  pods.forEach(fill);
  assert.equal(world.history.size, HISTORY_BOUNDS.flows);
  assert.deepEqual(world.flows(`app-${pods.length - 1}`), []);
  world.nowMs += 60_000;
  world.pods.delete(ip(pods[0] ?? ""));
  fill(pods.at(-1) ?? "");
  assert.equal(world.flows(`app-${pods.length - 1}`).length, HISTORY_BOUNDS.flowsOfPod);
  assert.equal(world.history.size, HISTORY_BOUNDS.flows);
});

Deno.test("it remembers since it began, or since the pod came", () => {
  const world = new World();
  world.see(API, WEB, TCP, 80);
  assert.equal(world.of("web").startedMs, 1000);
  world.pods.set(ip("10.244.0.12"), { ...pod("10.244.0.12", "late"), createdUnixMs: 1500 });
  world.see(API, "10.244.0.12", TCP, 80);
  assert.equal(world.of("late").startedMs, 1500);
});

Deno.test("label sets that come and go make room for others; those of remembered peers stay", () => {
  const world = new World();
  world.see(API, WEB, TCP, 80);
  world.relabel(API, "denied");
  world.see(API, WEB, TCP, 81, DENIED);
  for (let i = 0; i <= HISTORY_BOUNDS.labelSets; i++) {
    world.nowMs += 1000;
    world.relabel(API, `release-${i}`);
    world.see(API, OUTSIDE, TCP, 443);
  }
  const last = `release-${HISTORY_BOUNDS.labelSets}`;
  assert.deepEqual(world.flows(last), [`egress ${OUTSIDE} 6/443`]);
  assert.deepEqual(world.flows("release-0"), []);
  world.see(API, WEB, TCP, 80);
  assert.deepEqual(world.flows("web"), ["ingress shop/api 6/80", `ingress shop/${last} 6/80`]);
  for (const app of ["api", "denied"]) {
    world.relabel(API, app);
    world.see(API, WEB, TCP, 80);
    world.see(API, WEB, TCP, 81, DENIED);
  }
  const { size, deniedSize, leftOut } = world.of("web");
  assert.deepEqual([size, deniedSize, leftOut.overflow], [3, 2, 0]);
});

Deno.test("label sets that there is no room for are counted so, until a pod leaves", () => {
  const world = new World();
  const servers = ["10.244.0.20", "10.244.0.21", "10.244.0.22"] as const;
  for (const [i, address] of servers.entries()) {
    world.pods.set(ip(address), pod(address, `server-${i}`));
    world.see(OUTSIDE, address, TCP, 443);
  }
  const [quiet, ...busy] = servers;
  // The servers' own are there already.
  for (let i = 0; i < HISTORY_BOUNDS.labelSets - servers.length; i++) {
    world.relabel(API, `client-${i}`);
    world.see(API, busy[i % busy.length] ?? "", TCP, 80);
  }
  world.nowMs += 60_000;
  const one = world.relabel(API, "one-more");
  world.see(API, quiet, TCP, 80);
  world.see(API, quiet, TCP, 81, DENIED);
  const { size, deniedSize, leftOut } = world.of("server-0");
  assert.deepEqual([size, deniedSize], [1, 0]);
  assert.deepEqual([leftOut.overflow, leftOut.deniedOverflow, leftOut.unknownPeers], [1, 1, 0]);
  assert.deepEqual([world.flows("one-more"), world.history.unheldOf(one)], [[], 2]);

  world.pods.delete(ip(busy[0] ?? ""));
  world.nowMs += 60_000;
  world.see(API, quiet, TCP, 80);
  assert.deepEqual(world.flows("one-more"), ["egress shop/server-0 6/80"]);
  assert.equal(world.history.unheldOf(one), 2);
});

Deno.test("a peer that is gone when its event comes counts as that", () => {
  const world = new World();
  world.pods.delete(ip(API));
  world.see(API, WEB, TCP, 80);
  assert.equal(world.of("web").leftOut.unknownPeers, 1);
});
