import assert from "node:assert/strict";
import { Ipv4 } from "../../shared/net/mod.ts";
import { ACTION, type CompiledEntry, DIRECTION, NODE_ENTRIES } from "./entries.ts";
import { PolicyEvaluator } from "./evaluate.ts";
import { isolationEntry } from "./isolation.ts";

const POD = 300;
const PEER = 301;
const BLOCK = 2 ** 24;
const CIDR = { cidrIp: Ipv4.parse("10.0.0.0").toU32(), prefixLen: 8, identityId: BLOCK };
const WIDE = { cidrIp: 0, prefixLen: 0, identityId: BLOCK + 1 };
const TCP = 6;

/** An ingress entry `peer->selected protocol:port/len`; the rule id is its place in the list. */
type Row = [
  verdict: "allow" | "deny",
  peer: number,
  selected: number,
  protocol: number,
  port: number,
  prefixLen: number,
];

function entries(rows: readonly Row[]): CompiledEntry[] {
  return rows.map(([verdict, srcIdentity, dstIdentity, protocol, dstPort, portPrefixLen], i) => ({
    srcIdentity,
    dstIdentity,
    protocol,
    dstPort,
    portPrefixLen,
    action: ACTION[verdict],
    direction: DIRECTION.ingress,
    isolation: false,
    ruleId: i,
  }));
}

/** What decides about TCP port 80 from PEER at 10.1.1.1 to POD: the row's index, -1 none. */
const ORDER: [name: string, rows: Row[], decides: number][] = [
  ["nothing", [], -1],
  ["the pair before the pod", [["deny", 0, POD, 0, 0, 0], ["allow", PEER, POD, 0, 0, 0]], 1],
  ["the pod before anyone", [["deny", 0, 0, TCP, 80, 0], ["allow", 0, POD, 0, 0, 0]], 1],
  ["identity before port", [["deny", 0, POD, TCP, 80, 0], ["allow", PEER, POD, 0, 0, 0]], 1],
  ["the block like the pod", [["allow", BLOCK, POD, 0, 0, 0]], 0],
  ["the port before the prefix", [["deny", 0, POD, TCP, 80, 12], ["allow", 0, POD, TCP, 80, 0]], 1],
  ["the longer prefix", [["deny", 0, POD, TCP, 64, 8], ["allow", 0, POD, TCP, 80, 12]], 1],
  ["the protocol before any", [["deny", 0, POD, 0, 0, 0], ["allow", 0, POD, TCP, 0, 0]], 1],
  ["deny at one step", [["allow", PEER, POD, TCP, 0, 0], ["deny", BLOCK, POD, TCP, 0, 0]], 1],
  ["deny at one step, wildcards", [["allow", 0, POD, 0, 0, 0], ["deny", PEER, 0, 0, 0, 0]], 1],
  ["not another protocol", [["allow", 0, POD, 17, 80, 0]], -1],
  ["not another port", [["allow", 0, POD, TCP, 81, 0], ["allow", 0, POD, TCP, 96, 12]], -1],
  ["not the CIDR around the longest", [["allow", BLOCK + 1, POD, 0, 0, 0]], -1],
];

for (const [name, rows, decides] of ORDER) {
  Deno.test(`lookup order: ${name}`, () => {
    const set = { policies: entries(rows), cidrIdentities: [WIDE, CIDR], ruleNames: {} };
    const [pod, peer] = [
      { ip: Ipv4.parse("10.244.0.1"), identity: POD },
      { ip: Ipv4.parse("10.1.1.1"), identity: PEER },
    ];
    const decision = new PolicyEvaluator(set, true).decide("ingress", pod, peer, TCP, 80);
    assert.equal(decision.entry?.ruleId ?? -1, decides);
    assert.equal(decision.allowed, decides >= 0 && rows[decides]?.[0] === "allow");
    const other = new PolicyEvaluator(set, true).decide("egress", pod, peer, TCP, 80);
    assert.deepEqual(other, { allowed: false, audited: false, entry: undefined });
  });
}

Deno.test("isolation, then the default; the node always passes", () => {
  const isolation = isolationEntry(POD, "ingress", 16, "enforce");
  const set = { policies: [...NODE_ENTRIES, isolation], cidrIdentities: [], ruleNames: {} };
  const ip = Ipv4.parse("10.244.0.1");
  const decide = (selected: number, peer: number, defaultDeny: boolean) =>
    new PolicyEvaluator(set, defaultDeny)
      .decide("ingress", { ip, identity: selected }, { ip, identity: peer }, TCP, 80);
  assert.deepEqual(decide(POD, PEER, false), { allowed: false, audited: false, entry: isolation });
  assert.deepEqual(decide(PEER, POD, false), { allowed: true, audited: false, entry: undefined });
  assert.deepEqual(decide(PEER, POD, true), { allowed: false, audited: false, entry: undefined });
  assert.equal(decide(POD, 1, true).allowed, true);
});

Deno.test("what a policy in audit mode isolates passes, and is told", () => {
  const isolation = isolationEntry(POD, "egress", 16, "audit");
  const set = { policies: [...NODE_ENTRIES, isolation], cidrIdentities: [], ruleNames: {} };
  const ip = Ipv4.parse("10.244.0.1");
  const [pod, peer] = [{ ip, identity: POD }, { ip, identity: PEER }];
  const evaluator = new PolicyEvaluator(set, false);
  assert.deepEqual(evaluator.decide("egress", pod, peer, TCP, 80), {
    allowed: true,
    audited: true,
    entry: isolation,
  });
  assert.equal(evaluator.decide("ingress", pod, peer, TCP, 80).audited, false);
});
