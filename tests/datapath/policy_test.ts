/** Which entry decides: one new flow from A to B for each row, with all entries of the row in force. */
import assert from "node:assert/strict";
import { Cidr, IpProtocol } from "../../shared/net/mod.ts";
import { icmpEcho, tcp, udp } from "../../shared/testing/packets.ts";
import { ACTIONS, EGRESS, INGRESS, type Rule } from "./datapath.ts";
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
} from "./world.ts";

const BOTH = 0;
const ISOLATION = 1;
const TCP = IpProtocol.TCP;
const CIDR_IDENTITY = 2 ** 24;
const allow = (ruleId: number, key: Partial<Rule>): Rule => ({ action: "allow", ruleId, ...key });
const deny = (ruleId: number, key: Partial<Rule>): Rule => ({ action: "deny", ruleId, ...key });
const audit = (ruleId: number, key: Partial<Rule>): Rule => ({ action: "audit", ruleId, ...key });
const PAIR = { srcIdentity: IDENTITY_A, dstIdentity: IDENTITY_B };
const ISOLATED_B = deny(90, { dstIdentity: IDENTITY_B, direction: INGRESS, kind: ISOLATION });
const ISOLATED_A = deny(91, { srcIdentity: IDENTITY_A, direction: EGRESS, kind: ISOLATION });
const AUDITED_B = audit(92, { dstIdentity: IDENTITY_B, direction: INGRESS, kind: ISOLATION });
const AUDITED_A = audit(93, { srcIdentity: IDENTITY_A, direction: EGRESS, kind: ISOLATION });

interface Row {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly defaultDeny?: boolean;
  readonly port?: number;
  readonly protocol?: "tcp" | "udp" | "icmp";
  /** The rule that decides, and how. */
  readonly expected: readonly [Rule["action"], number];
}

const ROWS: readonly Row[] = [
  { name: "nothing: the default allows", rules: [], expected: ["allow", 2] },
  { name: "nothing: the default denies", rules: [], defaultDeny: true, expected: ["deny", 1] },
  { name: "isolation of the destination", rules: [ISOLATED_B], expected: ["deny", 90] },
  { name: "isolation of the source", rules: [ISOLATED_A], expected: ["deny", 91] },
  {
    name: "isolation is only of its direction",
    rules: [deny(90, { dstIdentity: IDENTITY_A, direction: INGRESS, kind: ISOLATION })],
    expected: ["allow", 2],
  },
  {
    name: "a rule opens what is isolated",
    rules: [ISOLATED_B, allow(20, { ...PAIR, direction: INGRESS })],
    expected: ["allow", 20],
  },
  {
    name: "both ends must allow",
    rules: [ISOLATED_A, ISOLATED_B, allow(20, { ...PAIR, direction: INGRESS })],
    expected: ["deny", 91],
  },
  {
    name: "both ends do",
    rules: [
      ISOLATED_A,
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS }),
      allow(21, { ...PAIR, direction: EGRESS }),
    ],
    expected: ["allow", 20],
  },
  {
    name: "an entry without direction takes part in both decisions",
    rules: [ISOLATED_A, ISOLATED_B, allow(22, { ...PAIR, direction: BOTH })],
    expected: ["allow", 22],
  },
  {
    name: "a port that is not the rule's",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 81, prefixLen: 16 }),
    ],
    expected: ["deny", 90],
  },
  {
    name: "the rule's port",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 80, prefixLen: 16 }),
    ],
    expected: ["allow", 20],
  },
  {
    name: "the rule's port of another protocol",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 80, prefixLen: 16 }),
    ],
    protocol: "udp",
    expected: ["deny", 90],
  },
  {
    name: "the first port of a prefix",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 8000, prefixLen: 13 }),
    ],
    port: 8000,
    expected: ["allow", 20],
  },
  {
    name: "the last port of a prefix",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 8000, prefixLen: 13 }),
    ],
    port: 8007,
    expected: ["allow", 20],
  },
  {
    name: "the port after a prefix",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 8000, prefixLen: 13 }),
    ],
    port: 8008,
    expected: ["deny", 90],
  },
  {
    name: "one port of any protocol",
    rules: [ISOLATED_B, allow(20, { ...PAIR, direction: INGRESS, dstPort: 80, prefixLen: 16 })],
    protocol: "udp",
    expected: ["allow", 20],
  },
  {
    name: "ICMP has no port",
    rules: [
      ISOLATED_B,
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 0, prefixLen: 6 }),
    ],
    protocol: "icmp",
    expected: ["deny", 90],
  },
  {
    name: "ICMP by a rule for all",
    rules: [ISOLATED_B, allow(20, { ...PAIR, direction: INGRESS })],
    protocol: "icmp",
    expected: ["allow", 20],
  },
  {
    name: "two identities beat one",
    rules: [
      deny(20, { dstIdentity: IDENTITY_B, direction: INGRESS }),
      allow(21, { ...PAIR, direction: INGRESS }),
    ],
    expected: ["allow", 21],
  },
  {
    name: "one identity beats none",
    rules: [
      deny(20, { direction: INGRESS }),
      allow(21, { dstIdentity: IDENTITY_B, direction: INGRESS }),
    ],
    expected: ["allow", 21],
  },
  {
    name: "any source",
    rules: [ISOLATED_B, allow(20, { dstIdentity: IDENTITY_B, direction: INGRESS })],
    expected: ["allow", 20],
  },
  {
    name: "any destination",
    rules: [ISOLATED_A, allow(20, { srcIdentity: IDENTITY_A, direction: EGRESS })],
    expected: ["allow", 2],
  },
  {
    name: "a longer prefix beats a shorter one",
    rules: [
      allow(20, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 64, prefixLen: 10 }),
      deny(21, { ...PAIR, direction: INGRESS, protocol: TCP, dstPort: 80, prefixLen: 16 }),
    ],
    expected: ["deny", 21],
  },
  {
    name: "a protocol beats any protocol",
    rules: [
      deny(20, { ...PAIR, direction: INGRESS, dstPort: 80, prefixLen: 16 }),
      allow(21, { ...PAIR, direction: INGRESS, protocol: TCP }),
    ],
    expected: ["allow", 21],
  },
  {
    name: "deny beats allow at the same specificity",
    rules: [
      allow(20, { srcIdentity: IDENTITY_A, direction: BOTH }),
      deny(21, { dstIdentity: IDENTITY_B, direction: BOTH }),
    ],
    expected: ["deny", 21],
  },
  {
    name: "a directed deny beats an undirected allow of the same key",
    rules: [allow(20, { ...PAIR, direction: BOTH }), deny(21, { ...PAIR, direction: INGRESS })],
    expected: ["deny", 21],
  },
  {
    name: "isolation of the destination in audit mode",
    rules: [AUDITED_B],
    expected: ["audit", 92],
  },
  {
    name: "a rule opens what is isolated in audit mode",
    rules: [AUDITED_B, allow(20, { ...PAIR, direction: INGRESS })],
    expected: ["allow", 20],
  },
  {
    name: "audit at one end, an allowing rule at the other",
    rules: [AUDITED_A, ISOLATED_B, allow(20, { ...PAIR, direction: INGRESS })],
    expected: ["audit", 93],
  },
  {
    name: "audit at one end, isolation at the other",
    rules: [AUDITED_A, ISOLATED_B],
    expected: ["deny", 90],
  },
  {
    name: "audit at both ends: the source's would have dropped it first",
    rules: [AUDITED_A, AUDITED_B],
    expected: ["audit", 93],
  },
  {
    name: "default deny and the entry that opens both ends",
    rules: [allow(20, { ...PAIR, direction: BOTH, protocol: TCP, dstPort: 80, prefixLen: 16 })],
    defaultDeny: true,
    expected: ["allow", 20],
  },
];

const PACKETS = {
  tcp: (port: number) => tcp({ srcPort: 40_000, dstPort: port, flags: "S" }),
  udp: (port: number) => udp({ srcPort: 40_000, dstPort: port }),
  icmp: () => icmpEcho({ id: 5 }),
};

Deno.test("policy between two pods of the node", async (t) => {
  for (const { name, rules, defaultDeny, port = 80, protocol = "tcp", expected } of ROWS) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { a, datapath } = world;
      datapath.set({ defaultDeny: defaultDeny ? 1 : 0 });
      for (const rule of rules) datapath.addRule(rule);
      const outcome = datapath.run("pod_egress", sent(a, B, PACKETS[protocol](port)), a);
      const [event] = datapath.events();
      assert.ok(event, "an event");
      const [action, ruleId] = expected;
      const denied = action === "deny";
      assert.equal(outcome.verdict, denied ? "drop" : "redirect");
      assert.equal(outcome.reason, denied ? "POLICY_DENIED" : undefined);
      assert.deepEqual(
        [event.srcIdentity, event.dstIdentity, event.verdict, event.ruleId],
        [IDENTITY_A, IDENTITY_B, ACTIONS[action], ruleId],
      );
    });
  }
});

Deno.test("policy with CIDRs", async (t) => {
  const block = allow(30, {
    srcIdentity: CIDR_IDENTITY,
    dstIdentity: IDENTITY_A,
    direction: INGRESS,
  });
  const isolated = deny(90, { dstIdentity: IDENTITY_A, direction: INGRESS, kind: ISOLATION });
  const rows = [
    { name: "inside the block", src: OUTSIDE, cidrs: ["198.51.100.0/24"], expected: "pass" },
    {
      name: "outside of it",
      src: "203.0.113.1",
      cidrs: ["198.51.100.0/24"],
      expected: "POLICY_DENIED",
    },
    {
      name: "in a longer block that has no entry",
      src: OUTSIDE,
      cidrs: ["198.51.100.0/24", "198.51.100.7/32"],
      expected: "POLICY_DENIED",
    },
    {
      name: "beside that longer block",
      src: "198.51.100.8",
      cidrs: ["198.51.100.0/24", "198.51.100.7/32"],
      expected: "pass",
    },
    { name: "all addresses", src: "203.0.113.1", cidrs: ["0.0.0.0/0"], expected: "pass" },
  ];
  for (const { name, src, cidrs, expected } of rows) {
    await t.step(name, async () => {
      await using world = await makeWorld();
      const { a, datapath } = world;
      cidrs.forEach((cidr, index) => datapath.addCidr(Cidr.parse(cidr), CIDR_IDENTITY + index));
      datapath.addRule(isolated);
      datapath.addRule(block);
      const packet = arriving(a, src, tcp({ srcPort: 1, dstPort: 80, flags: "S" }));
      const outcome = datapath.run("pod_ingress", packet, {
        ifindex: a.ifindex,
        ingressIfindex: UPLINK,
      });
      assert.equal(outcome.reason ?? outcome.verdict, expected);
    });
  }
  await t.step("a pod's address is in a block too", async () => {
    await using world = await makeWorld();
    const { a, datapath } = world;
    datapath.addCidr(Cidr.parse("10.244.0.0/28"), CIDR_IDENTITY);
    datapath.addRule(ISOLATED_B);
    datapath.addRule(
      allow(30, { srcIdentity: CIDR_IDENTITY, dstIdentity: IDENTITY_B, direction: INGRESS }),
    );
    const outcome = datapath.run("pod_egress", sent(a, B, PACKETS.tcp(80)), a);
    assert.equal(outcome.verdict, "redirect");
  });
});

Deno.test("the node reaches its isolated pods, and they the node", async () => {
  await using world = await makeWorld();
  const { a, datapath } = world;
  datapath.addRule(deny(90, { dstIdentity: IDENTITY_A, direction: INGRESS, kind: ISOLATION }));
  datapath.addRule(ISOLATED_A);
  datapath.addRule(allow(3, { srcIdentity: 1, direction: INGRESS }));
  datapath.addRule(allow(3, { dstIdentity: 1, direction: EGRESS }));
  const probe = arriving(a, HOST, tcp({ srcPort: 1, dstPort: 80, flags: "S" }));
  assert.equal(datapath.run("pod_ingress", probe, a).verdict, "pass");
  assert.equal(datapath.run("pod_egress", sent(a, HOST, PACKETS.tcp(22)), a).verdict, "pass");
  assert.equal(
    datapath.run("pod_egress", sent(a, OUTSIDE, PACKETS.tcp(22)), a).reason,
    "POLICY_DENIED",
  );
  const forged = arriving(a, HOST, tcp({ srcPort: 2, dstPort: 80, flags: "S" }));
  const outcome = datapath.run("pod_ingress", forged, {
    ifindex: a.ifindex,
    ingressIfindex: UPLINK,
  });
  assert.equal(
    outcome.reason,
    "POLICY_DENIED",
    "what was forwarded under the node's address is not the node",
  );
});

Deno.test("an entry holds from its generation on, and its old version before", async () => {
  await using world = await makeWorld();
  const { a, datapath } = world;
  datapath.addRule(ISOLATED_B);
  const generation = datapath.state.policyGeneration;
  const at = (policyGeneration: number) => {
    datapath.set({ policyGeneration, evaluationGeneration: policyGeneration });
    return datapath.run("pod_egress", sent(a, B, PACKETS.tcp(80)), a).verdict;
  };
  assert.equal(at(generation - 1), "redirect", "absent before");
  assert.equal(at(generation), "drop");
  assert.equal(at(generation + 1), "drop");
  assert.equal(at((generation - 1) >>> 0), "redirect");
});

Deno.test("a flow of A is judged by A's address alone", async () => {
  await using world = await makeWorld();
  const { b, datapath } = world;
  datapath.addRule(ISOLATED_A);
  assert.equal(datapath.run("pod_egress", sent(b, A, PACKETS.tcp(80)), b).verdict, "redirect");
});
