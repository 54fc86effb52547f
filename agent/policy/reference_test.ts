import assert from "node:assert/strict";
import { Ipv4 } from "../../shared/net/mod.ts";
import { compile } from "./compile.ts";
import { type DesiredPolicy, IDENTITY } from "./entries.ts";
import { type EvaluatedEnd, PolicyEvaluator } from "./evaluate.ts";
import { namespaceLabels } from "./objects/namespace.ts";
import { labelSet, type NamespaceObject } from "./objects/types.ts";
import { groupObjects } from "./snapshot.ts";
import { PROTOCOL_NUMBERS, readPolicy, TestIdentities } from "./testing/endpoints.ts";
import { OUTSIDE, RandomCluster } from "./testing/random_cluster.ts";
import {
  isAllowed,
  type ModelCluster,
  type ModelEnd,
  type ModelPod,
} from "./testing/reference_model.ts";

const CLUSTERS = 3000;
const PACKETS = 100;
const NODE = "192.168.1.1";

interface Case {
  readonly cluster: ModelCluster;
  readonly pods: readonly ModelPod[];
  readonly desired: DesiredPolicy;
  readonly identities: TestIdentities;
}

function randomCase(random: RandomCluster): Case {
  const identities = new TestIdentities();
  const pods = Array.from({ length: 2 + random.below(7) }, (_, i) => random.pod(i + 1));
  const cluster: ModelCluster = {
    namespaces: { red: random.labels(), green: random.labels(), blue: {} },
    policies: Array.from({ length: random.below(6) }, (_, i) => random.policy(i)),
  };
  const namespaces = Object.entries(cluster.namespaces).map(([name, labels]): NamespaceObject => ({
    kind: "Namespace",
    name,
    source: { file: "n.yaml", line: 1 },
    labels: namespaceLabels(name, labelSet(labels)),
  }));
  const objects = groupObjects([...namespaces, ...cluster.policies.map(readPolicy)]);
  const endpoints = pods.map((pod) => identities.endpoint(pod));
  return { cluster, pods, identities, desired: compile(objects, endpoints) };
}

function randomEnd(random: RandomCluster, { pods }: Case): ModelEnd {
  if (random.chance(75)) return { pod: random.pick(pods) };
  return random.chance(10) ? { node: NODE } : { address: random.pick(OUTSIDE) };
}

/** Often one that the destination has a name for: names matter there only. */
function randomService(random: RandomCluster, to: ModelEnd): [protocol: string, port: number] {
  const named = "pod" in to ? to.pod.ports : [];
  if (named.length > 0 && random.chance(50)) {
    const { protocol, port } = random.pick(named);
    return [protocol, port];
  }
  const protocol = random.protocol();
  return [protocol, protocol === "ICMP" ? 0 : random.port()];
}

function evaluated(end: ModelEnd, { identities }: Case): EvaluatedEnd {
  if ("pod" in end) {
    const { ip, identity } = identities.endpoint(end.pod);
    return { ip, identity };
  }
  return "node" in end
    ? { ip: Ipv4.parse(end.node), identity: IDENTITY.host }
    : { ip: Ipv4.parse(end.address), identity: IDENTITY.world };
}

/** Both decisions, as the datapath makes them: each at an end that is a pod. */
function passes(
  evaluator: PolicyEvaluator,
  from: EvaluatedEnd,
  to: EvaluatedEnd,
  protocol: number,
  port: number,
): boolean {
  const isPod = ({ identity }: EvaluatedEnd) => identity >= 256;
  return (!isPod(from) || evaluator.decide("egress", from, to, protocol, port).allowed) &&
    (!isPod(to) || evaluator.decide("ingress", to, from, protocol, port).allowed);
}

Deno.test(`compiled entries decide as the documentation says: ${CLUSTERS} random clusters`, () => {
  const counts = { allowed: 0, denied: 0 };
  for (let seed = 0; seed < CLUSTERS; seed++) {
    const random = new RandomCluster(seed);
    const test = randomCase(random);
    const evaluator = new PolicyEvaluator(test.desired, false);
    for (let i = 0; i < PACKETS; i++) {
      const from = randomEnd(random, test);
      const to = randomEnd(random, test);
      const [protocol, port] = randomService(random, to);
      const expected = isAllowed(test.cluster, from, to, protocol, port);
      const number = PROTOCOL_NUMBERS[protocol] as number;
      const got = passes(evaluator, evaluated(from, test), evaluated(to, test), number, port);
      counts[expected ? "allowed" : "denied"] += 1;
      assert.equal(got, expected, describe(seed, test, from, to, protocol, port));
    }
  }
  // Both answers must be common, or the comparison says little.
  assert(counts.allowed > 10_000 && counts.denied > 10_000, JSON.stringify(counts));
});

function describe(
  seed: number,
  test: Case,
  from: ModelEnd,
  to: ModelEnd,
  protocol: string,
  port: number,
): string {
  return JSON.stringify({ seed, from, to, protocol, port, cluster: test.cluster }, null, 1);
}
