import assert from "node:assert/strict";
import { scenario } from "../scenarios/scenario.ts";
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
function expected(world: World, sent: readonly Sent[]): string[] {
  const cluster = { namespaces: { ...world.namespaces }, policies: [...world.policies] };
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

scenario("random policies, packet by packet", {}, async ({ lab, node, step }) => {
  const cast = await PolicyNode.make(lab, node);
  const counts: Record<string, number> = { allow: 0, deny: 0, audit: 0 };
  for (const seed of seeds(WORLDS)) {
    const random = new RandomCluster(seed);
    const { namespaces, policies } = random.cluster();
    const world = { namespaces, policies, pods: random.castPods() };
    const sent = matrix(random, world);
    const play = async () => {
      const want = expected(world, sent);
      await cast.enter(world);
      const got = await Promise.all(
        sent.map(async ({ from, to, service }) => {
          const { verdict, rule } = await cast.probe(from, to, service);
          counts[verdict] = (counts[verdict] ?? 0) + 1;
          return `${from} -> ${to} ${service}: ${verdict} by ${rule}`;
        }),
      );
      const about = `${SEED_VARIABLE}=${seed} ${JSON.stringify(world)}`;
      assert.deepEqual(got, want, about);
    };
    await step(`${SEED_VARIABLE}=${seed}: ${policies.length} policies`, play);
  }
  await step(`all verdicts are common: ${JSON.stringify(counts)}`, () => {
    const isOne = Deno.env.get(SEED_VARIABLE) !== undefined;
    assert(isOne || Object.values(counts).every((count) => count > 200), JSON.stringify(counts));
  });
});
