import assert from "node:assert/strict";
import { type Scenario, scenario } from "../scenarios/scenario.ts";
import { modelEnd, PARTIES, type PartyName } from "./cast.ts";
import { CompiledCluster } from "./compiled.ts";
import { decide } from "./model.ts";
import { PolicyNode } from "./policy_node.ts";
import { RandomCluster } from "./random_cluster.ts";
import { SEED_VARIABLE, seeds } from "./seeds.ts";
import type { Probe, World } from "./table.ts";

/** Each with a packet between every two parties of which one at least is a pod. */
const WORLDS = 180;

type Sent = Pick<Probe, "from" | "to" | "service" | "protocol" | "port">;

/** A packet for each pair, often to a port that matters. */
function matrix(random: RandomCluster, { pods }: World): Sent[] {
  const isPod = (name: PartyName) => "pod" in modelEnd(name, pods);
  return PARTIES.flatMap((from) =>
    PARTIES.filter((to) => to !== from && (isPod(from) || isPod(to))).map((to) => {
      const [protocol, port] = random.service(modelEnd(to, pods));
      const service = protocol === "ICMP" ? protocol : `${protocol}/${port}`;
      return { from, to, service, protocol, port };
    })
  );
}

/** What model and compiler say, which must be one thing. */
function expected(world: World, defaultDeny: boolean, sent: readonly Sent[]): string[] {
  const { namespaces, policies } = world;
  const cluster = { namespaces: { ...namespaces }, policies: [...policies], defaultDeny };
  const compiled = new CompiledCluster(cluster, world.pods);
  return sent.map(({ from, to, service, protocol, port }) => {
    const [source, target] = [modelEnd(from, world.pods), modelEnd(to, world.pods)];
    const { verdict, rule } = compiled.decide(source, target, protocol, port);
    const said = decide(cluster, source, target, protocol, port);
    const packet = `${from} -> ${to} ${service}`;
    assert.equal(verdict, said.verdict, `${packet}: compiler and model`);
    assert(said.rules.includes(rule), `${packet}: ${rule}, not ${said.rules.join(" or ")}`);
    return `${packet}: ${verdict} by ${rule}`;
  });
}

/** The random clusters whose default is the node's. */
function clustersOf(defaultDeny: boolean) {
  return seeds(WORLDS).flatMap((seed) => {
    const random = new RandomCluster(seed);
    const cluster = random.cluster();
    return cluster.defaultDeny === defaultDeny ? [{ seed, random, cluster }] : [];
  });
}

async function play({ lab, node, step }: Scenario, defaultDeny: boolean): Promise<void> {
  const cast = await PolicyNode.make(lab, node);
  const counts: Record<string, number> = { allow: 0, deny: 0, audit: 0 };
  for (const { seed, random, cluster: { namespaces, policies } } of clustersOf(defaultDeny)) {
    const world = { namespaces, policies, pods: random.castPods() };
    const sent = matrix(random, world);
    await step(`${SEED_VARIABLE}=${seed}: ${policies.length} policies`, async () => {
      const want = expected(world, defaultDeny, sent);
      await cast.enter(world);
      const got = await Promise.all(
        sent.map(async ({ from, to, service }) => {
          const { verdict, rule } = await cast.probe(from, to, service);
          counts[verdict] = (counts[verdict] ?? 0) + 1;
          return `${from} -> ${to} ${service}: ${verdict} by ${rule}`;
        }),
      );
      assert.deepEqual(got, want, `${SEED_VARIABLE}=${seed} ${JSON.stringify(world)}`);
    });
  }
  await step(`all verdicts are common: ${JSON.stringify(counts)}`, () => {
    if (Deno.env.get(SEED_VARIABLE) !== undefined) return;
    // Where the default is to deny, a policy in audit mode has nothing to say.
    const { audit = 0, ...others } = counts;
    assert(defaultDeny ? audit === 0 : audit > 200, JSON.stringify(counts));
    assert(Object.values(others).every((count) => count > 200), JSON.stringify(counts));
  });
}

scenario("random policies, packet by packet", {}, (played) => play(played, false));

const config = { "policy.default_deny": true };
scenario(
  "random policies where the default is to deny, packet by packet",
  { config },
  (played) => play(played, true),
);
