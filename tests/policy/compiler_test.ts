import assert from "node:assert/strict";
import { NODE, OUTSIDE } from "./cast.ts";
import { CompiledCluster } from "./compiled.ts";
import { decide, type ModelEnd, type ModelPod } from "./model.ts";
import { RandomCluster } from "./random_cluster.ts";
import { SEED_VARIABLE, seeds } from "./seeds.ts";

const CLUSTERS = 3000;
const PACKETS = 100;

function randomEnd(random: RandomCluster, pods: readonly ModelPod[]): ModelEnd {
  if (random.chance(75)) return { pod: random.pick(pods) };
  return random.chance(10) ? { node: NODE } : { address: random.pick(OUTSIDE) };
}

Deno.test(`compiled entries decide as the documentation says: ${CLUSTERS} random clusters`, () => {
  const counts = { allow: 0, deny: 0, audit: 0 };
  for (const seed of seeds(CLUSTERS)) {
    const random = new RandomCluster(seed);
    const pods = Array.from({ length: 2 + random.below(7) }, (_, i) => random.pod(i + 1));
    const cluster = random.cluster();
    const compiled = new CompiledCluster(cluster, pods);
    for (let i = 0; i < PACKETS; i++) {
      const from = randomEnd(random, pods);
      const to = randomEnd(random, pods);
      const [protocol, port] = random.service(to);
      const expected = decide(cluster, from, to, protocol, port);
      const got = compiled.decide(from, to, protocol, port);
      counts[expected.verdict] += 1;
      if (got.verdict === expected.verdict && isOneOf(got.rule, expected.rules)) continue;
      const packet = { from, to, protocol, port };
      assert.deepEqual(got, expected, JSON.stringify({ seed, packet, cluster }, null, 1));
    }
  }
  if (Deno.env.get(SEED_VARIABLE) !== undefined) return;
  // All answers must be common, or the comparison says little.
  assert(Object.values(counts).every((count) => count > 10_000), JSON.stringify(counts));
});

/** Nothing decides about a packet between two ends that are no pods. */
function isOneOf(rule: string, rules: readonly string[]): boolean {
  return rules.length === 0 ? rule === "" : rules.includes(rule);
}
