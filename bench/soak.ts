/**
 * `./run soak [--minutes N] [--at-once N] [--seed N]`: pods that come and go while the daemons are killed at random, then
 * while they are left alone.
 *
 * In the first 60 % of the time novanet-agent or novanet-dataplane is killed with SIGKILL every few seconds. In the
 * rest nobody is killed, and the daemons' memory and descriptors are watched. One TCP connection lasts through all
 * of it; short ones come and go. In the end everything that pods brought must be gone. The exit code is 0 only if nothing was lost,
 * nothing was left and nothing grew beyond the bounds of docs/performance.md.
 */
import { parseArgs } from "node:util";
import { eventually } from "../shared/testing/eventually.ts";
import { NetnsLab } from "../shared/testing/lab.ts";
import { LabNode } from "../shared/testing/node.ts";
import { SeededRandom } from "../shared/testing/seeded_random.ts";
import { Churn } from "./soak/churn.ts";
import { differences, type Inventory, takeInventory } from "./soak/inventory.ts";
import { growthOf, type ProcessSample, sampleProcess } from "./soak/memory.ts";
import { Traffic } from "./soak/traffic.ts";

const KILL_SHARE = 0.6;
/** Between two kills, at least and at most. */
const KILL_PAUSE_MS = [2_000, 6_000] as const;
const SAMPLE_MS = 2_000;
/** Growth that counts as a leak: a heap that breathes stays below both. */
const MOST_GROWTH = { share: 0.2, descriptors: 8 } as const;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Kills one daemon after the other until `goOn` says no. @returns how many */
async function killDaemons(
  node: LabNode,
  random: () => number,
  goOn: () => boolean,
): Promise<number> {
  let kills = 0;
  while (goOn()) {
    const [least, most] = KILL_PAUSE_MS;
    await pause(least + random() * (most - least));
    const what = random();
    if (what < 0.7) await node.agent.kill();
    if (what >= 0.4) await node.dataplane.kill();
    kills += what < 0.7 && what >= 0.4 ? 2 : 1;
    if (what >= 0.4) await node.startDataplane();
    if (what < 0.7) await node.startAgent();
  }
  return kills;
}

/** Samples of both daemons until `goOn` says no. */
async function watchMemory(
  node: LabNode,
  goOn: () => boolean,
): Promise<Readonly<Record<"dataplane" | "agent", ProcessSample[]>>> {
  const samples = { dataplane: new Array<ProcessSample>(), agent: new Array<ProcessSample>() };
  while (goOn()) {
    samples.dataplane.push(sampleProcess(node.dataplane.pid));
    samples.agent.push(sampleProcess(node.agent.pid));
    await pause(SAMPLE_MS);
  }
  return samples;
}

/** Prints how a daemon grew. @returns what is wrong with it */
function judgeGrowth(name: string, samples: readonly ProcessSample[]): string[] {
  const { from, to } = growthOf(samples);
  const share = to.residentMb / from.residentMb - 1;
  console.log(
    `${name}: ${from.residentMb.toFixed(1)} MB -> ${to.residentMb.toFixed(1)} MB (${
      (share * 100).toFixed(1)
    } %), ${from.descriptors} -> ${to.descriptors} descriptors`,
  );
  const problems: string[] = [];
  if (share > MOST_GROWTH.share) problems.push(`${name} grew by ${(share * 100).toFixed(0)} %`);
  if (to.descriptors - from.descriptors > MOST_GROWTH.descriptors) {
    problems.push(`${name} opened descriptors: ${from.descriptors} -> ${to.descriptors}`);
  }
  return problems;
}

/** What is left of pods that are gone, after the daemons had time to see it. */
async function leftovers(node: LabNode, before: Inventory): Promise<string[]> {
  let found: string[] = [];
  try {
    await eventually(async () => {
      found = differences(before, await takeInventory(node));
      return found.length === 0;
    }, { timeoutMs: 20_000, intervalMs: 500 });
  } catch (error) {
    if (found.length === 0) throw error;
  }
  return found.map((text) => `left behind: ${text}`);
}

async function soak(minutes: number, atOnce: number, seed: number): Promise<string[]> {
  const numbers = new SeededRandom(seed);
  const random = () => numbers.below(2 ** 20) / 2 ** 20;
  await using lab = new NetnsLab();
  const node = await LabNode.create(lab, {
    podCidr: "10.244.0.0/18",
    config: { address_rest_seconds: 1 },
  });
  await node.start();
  const [from, to] = [await node.addPod("from"), await node.addPod("to")];
  const before = await takeInventory(node);
  const started = performance.now();
  const totalMs = minutes * 60_000;
  const elapsed = () => performance.now() - started;
  const goOn = () => elapsed() < totalMs;
  const killing = () => elapsed() < totalMs * KILL_SHARE;

  const traffic = await Traffic.start(from, to, minutes * 60 + 60);
  const churn = new Churn(node, random, atOnce);
  const churning = churn.run(goOn);
  const connecting = traffic.connectOften(goOn);
  churn.daemonsStable = false;
  const kills = await killDaemons(node, random, killing);
  // What was under way at the last kill may still fail by it.
  await pause(SAMPLE_MS);
  churn.daemonsStable = true;
  console.log(`${kills} kills, ${churn.counts.added} ADD and ${churn.counts.deleted} DEL so far`);
  const samples = await watchMemory(node, goOn);
  await Promise.all([churning, connecting]);

  const { added, deleted, putOff, failures } = churn.counts;
  console.log(`${added} ADD, ${deleted} DEL, ${putOff} ADD told to try again`);
  const lasting = traffic.lastingFailure();
  return [
    ...failures,
    ...traffic.failures,
    ...(lasting === undefined ? [] : [lasting]),
    ...judgeGrowth("novanet-dataplane", samples.dataplane),
    ...judgeGrowth("novanet-agent", samples.agent),
    ...await leftovers(node, before),
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      "at-once": { type: "string", default: "20" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    },
  });
  const [minutes, atOnce, seed] = [values.minutes, values["at-once"], values.seed].map(Number);
  if (!minutes || !atOnce || seed === undefined || !(minutes > 0 && atOnce > 0 && seed >= 0)) {
    console.error("usage: ./run soak [--minutes N] [--at-once N] [--seed N]");
    return 2;
  }
  if (Deno.uid() !== 0) {
    console.error("soak: root is needed: it makes network namespaces and loads BPF programs");
    return 1;
  }
  console.log(`soak: ${minutes} minutes, ${atOnce} pods at once, seed ${seed}`);
  const problems = await soak(minutes, atOnce, seed);
  for (const problem of problems.slice(0, 50)) console.log(`PROBLEM ${problem}`);
  console.log(problems.length === 0 ? "soak: passed" : `soak: ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

Deno.exit(await main());
