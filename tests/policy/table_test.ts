import assert from "node:assert/strict";
import type { LabNode } from "../../shared/testing/node.ts";
import { scenario } from "../scenarios/scenario.ts";
import { witness } from "../trace/witness.ts";
import { modelEnd } from "./cast.ts";
import { decide } from "./model.ts";
import { PolicyNode } from "./policy_node.ts";
import { describeProbe, type PolicyCase, type Probe, readTable } from "./table.ts";

const LEAST_CASES = 150;
const TABLE = readTable();
const DEFAULT_DENY = readTable("default_deny");
/** novanetctl has the whole table of connections read: a small one is read quickly. */
const SMALL = { dataplaneFlags: ["--conntrack-max=4096"] };

Deno.test("the table has no case twice, and enough of them", () => {
  const names = [...TABLE, ...DEFAULT_DENY].map(({ topic, what }) => `${topic}: ${what}`);
  assert.equal(new Set(names).size, names.length);
  assert(TABLE.length >= LEAST_CASES, `${TABLE.length} cases`);
  // Every topic has a packet that passes and one that does not.
  const kinds = new Set([...TABLE, ...DEFAULT_DENY].map(({ topic }) => topic));
  assert(BY_CLI.size >= 2 * kinds.size, `novanetctl is asked about ${BY_CLI.size} packets`);
});

/** What a case expects must be what the model says. */
function compareWithModel({ what, world, probes }: PolicyCase, defaultDeny: boolean): void {
  const { namespaces, policies, pods } = world;
  const cluster = { namespaces: { ...namespaces }, policies: [...policies], defaultDeny };
  for (const probe of probes) {
    const [from, to] = [modelEnd(probe.from, pods), modelEnd(probe.to, pods)];
    const { verdict, rules } = decide(cluster, from, to, probe.protocol, probe.port);
    const rule = rules.includes(probe.rule) ? probe.rule : rules.join(" or ");
    const told = describeProbe(probe, probe.verdict, probe.rule);
    assert.equal(told, describeProbe(probe, verdict, rule), what);
  }
}

for (const cases of [TABLE, DEFAULT_DENY]) {
  for (const topic of new Set(cases.map((one) => one.topic))) {
    Deno.test(`what the table says is what the documentation says: ${topic}`, () => {
      for (const one of cases.filter((one) => one.topic === topic)) {
        compareWithModel(one, cases === DEFAULT_DENY);
      }
    });
  }
}

/** The first probe of each verdict in each topic: novanetctl is asked about those. */
const BY_CLI: ReadonlySet<Probe> = new Set(
  Map.groupBy(
    [...TABLE, ...DEFAULT_DENY].flatMap(({ topic, probes }) =>
      probes.map((probe) => ({ probe, kind: `${topic} ${probe.verdict}` }))
    ),
    ({ kind }) => kind,
  ).values().map(([first]) => first?.probe as Probe),
);

async function play(node: LabNode, cast: PolicyNode, one: PolicyCase): Promise<void> {
  const { world, probes } = one;
  await cast.enter(world);
  const fates = await Promise.all(
    probes.map(async (probe) => {
      const { verdict, rule } = await witness(node, cast, probe, { byCli: BY_CLI.has(probe) });
      return describeProbe(probe, verdict, rule);
    }),
  );
  const expected = probes.map((probe) => describeProbe(probe, probe.verdict, probe.rule));
  assert.deepEqual(fates, expected);
}

scenario(
  `${TABLE.length} policy cases, packet by packet, and as trace tells them`,
  SMALL,
  async ({ lab, node, step }) => {
    const cast = await PolicyNode.make(lab, node);
    for (const one of TABLE) await step(`${one.topic}: ${one.what}`, () => play(node, cast, one));
  },
);

const options = { ...SMALL, config: { "policy.default_deny": true } };
scenario("policy cases where the default is to deny", options, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  for (const one of DEFAULT_DENY) await step(one.what, () => play(node, cast, one));
});
