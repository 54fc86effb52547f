import assert from "node:assert/strict";
import { scenario } from "../scenarios/scenario.ts";
import { modelEnd } from "./cast.ts";
import { decide } from "./model.ts";
import { PolicyNode } from "./policy_node.ts";
import { describeProbe, type PolicyCase, readTable } from "./table.ts";

const LEAST_CASES = 150;
const TABLE = readTable();

Deno.test("the table has no case twice, and enough of them", () => {
  const names = TABLE.map(({ topic, what }) => `${topic}: ${what}`);
  assert.equal(new Set(names).size, names.length);
  assert(TABLE.length >= LEAST_CASES, `${TABLE.length} cases`);
});

for (const topic of new Set(TABLE.map((one) => one.topic))) {
  Deno.test(`what the table says is what the documentation says: ${topic}`, () => {
    for (const { what, world, probes } of TABLE.filter((one) => one.topic === topic)) {
      const cluster = {
        namespaces: { ...world.namespaces },
        policies: [...world.policies],
      };
      for (const probe of probes) {
        const [from, to] = [probe.from, probe.to].map((name) => modelEnd(name, world.pods));
        assert(from && to);
        const { verdict, rules } = decide(cluster, from, to, probe.protocol, probe.port);
        const rule = rules.includes(probe.rule) ? probe.rule : rules.join(" or ");
        const told = describeProbe(probe, probe.verdict, probe.rule);
        assert.equal(told, describeProbe(probe, verdict, rule), what);
      }
    }
  });
}

scenario(`${TABLE.length} policy cases, packet by packet`, {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  const play = async ({ world, probes }: PolicyCase) => {
    await cast.enter(world);
    const fates = await Promise.all(
      probes.map(async (probe) => {
        const { verdict, rule } = await cast.probe(probe.from, probe.to, probe.service);
        return describeProbe(probe, verdict, rule);
      }),
    );
    const expected = probes.map((probe) => describeProbe(probe, probe.verdict, probe.rule));
    assert.deepEqual(fates, expected);
  };
  for (const one of TABLE) await step(`${one.topic}: ${one.what}`, () => play(one));
});
