/**
 * `./run soak churn [--pods N] [--at-once N] [--minutes N] [--seed N]`: 5,000 pods come and go, 50 at once, while the daemons are
 * killed at random, then while they are left alone.
 *
 * While the first 40 % of the pods come and go, novanet-agent or novanet-dataplane or both are killed with SIGKILL every few seconds; after the
 * first kill, and now and then after others, the agent stays away for ten seconds. One pod in five loses its network namespace before its DEL. During the rest
 * nobody is killed; once the daemons have warmed up their memory is watched. One TCP connection lasts through all
 * of it; short ones come and go. In the end everything that pods brought must be gone, by an inventory and by `novanetctl
 * doctor`, and the daemons have as many descriptors open as before. The exit code is 0 only if nothing was lost, nothing was left and nothing grew beyond the bounds of docs/performance.md.
 */
import { parseArgs } from "node:util";
import { eventually } from "../shared/testing/eventually.ts";
import { NetnsLab } from "../shared/testing/lab.ts";
import { LabNode } from "../shared/testing/node.ts";
import { SeededRandom } from "../shared/testing/seeded_random.ts";
import { Churn } from "./soak/churn.ts";
import { diagnosis } from "./soak/diagnosis.ts";
import { differences, type Inventory, takeInventory } from "./soak/inventory.ts";
import { growthOf, type ProcessSample, sampleProcess } from "./soak/memory.ts";
import { Traffic } from "./soak/traffic.ts";

const KILL_SHARE = 0.4;
/** Of the rest, how much a daemon that was killed last may take until its heap is as large as the load wants it. */
const WARM_UP_SHARE = 1 / 3;
/** Between two kills, at least and at most. */
const KILL_PAUSE_MS = [2_000, 6_000] as const;
/** How long the agent stays away when it does, and which share of the kills after the first one that is. */
const AWAY_MS = 10_000;
const AWAY_SHARE = 0.15;
const SAMPLE_MS = 2_000;
/** With fewer a heap that grows cannot be told from one that breathes. */
const LEAST_SAMPLES = 60;
/** Growth that counts as a leak: a heap that breathes stays below. */
const MOST_GROWTH = 0.15;
/** More of them at rest than before count as a leak. */
const MOST_MORE_DESCRIPTORS = 4;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Kills one daemon after the other until `goOn` says no. @returns how many, and after how many the agent stayed away */
async function killDaemons(
  node: LabNode,
  random: () => number,
  goOn: () => boolean,
): Promise<{ kills: number; absences: number }> {
  let [kills, absences] = [0, 0];
  while (goOn()) {
    const [least, most] = KILL_PAUSE_MS;
    await pause(least + random() * (most - least));
    const what = random();
    if (absences === 0 || random() < AWAY_SHARE) {
      await node.agent.kill();
      await pause(AWAY_MS);
      await node.startAgent();
      kills++;
      absences++;
      continue;
    }
    if (what < 0.7) await node.agent.kill();
    if (what >= 0.4) await node.dataplane.kill();
    kills += what < 0.7 && what >= 0.4 ? 2 : 1;
    if (what >= 0.4) await node.startDataplane();
    if (what < 0.7) await node.startAgent();
  }
  return { kills, absences };
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
function judgeGrowth(name: string, all: readonly ProcessSample[]): string[] {
  const samples = all.slice(Math.floor(all.length * WARM_UP_SHARE));
  if (samples.length < LEAST_SAMPLES) {
    console.log(`${name}: too short to see it grow`);
    return [];
  }
  const { from, to } = growthOf(samples);
  const share = to.residentMb / from.residentMb - 1;
  const percent = `${(share * 100).toFixed(1)} %`;
  console.log(
    `${name}: ${from.residentMb.toFixed(1)} MB -> ${to.residentMb.toFixed(1)} MB (${percent})`,
  );
  return share > MOST_GROWTH ? [`${name} grew by ${percent}`] : [];
}

/** Descriptors of both daemons when nothing is under way. */
function descriptorsAtRest({ dataplane, agent }: LabNode): Record<string, number> {
  return {
    "novanet-dataplane": sampleProcess(dataplane.pid).descriptors,
    "novanet-agent": sampleProcess(agent.pid).descriptors,
  };
}

/** @returns which daemons have more descriptors than before, once they have come to rest */
async function leftOpen(node: LabNode, before: Record<string, number>): Promise<string[]> {
  let found: string[] = [];
  await eventually(() => {
    const after = Object.entries(descriptorsAtRest(node));
    found = after.filter(([name, count]) => count > (before[name] ?? 0) + MOST_MORE_DESCRIPTORS)
      .map(([name, count]) => `${name} left descriptors open: ${before[name]} -> ${count}`);
    return found.length === 0;
  }, { timeoutMs: 20_000, intervalMs: 500 }).catch(() => {});
  console.log("descriptors at rest:", before, "before,", descriptorsAtRest(node), "after");
  return found;
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

interface SoakOptions {
  readonly pods: number;
  readonly atOnce: number;
  readonly minutes: number;
  readonly seed: number;
}

async function soak({ pods, atOnce, minutes, seed }: SoakOptions): Promise<string[]> {
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
  const descriptors = descriptorsAtRest(node);
  const started = performance.now();
  const totalMs = minutes * 60_000;
  const elapsed = () => performance.now() - started;
  const inTime = () => elapsed() < totalMs;

  const traffic = await Traffic.start(from, to, minutes * 60 + 60);
  const churn = new Churn(node, random, atOnce);
  const goOn = () => inTime() && churn.begun < pods;
  const killing = () => elapsed() < totalMs * KILL_SHARE && churn.begun < pods * KILL_SHARE;
  const churning = churn.run(goOn);
  const connecting = traffic.connectOften(goOn);
  churn.daemonsStable = false;
  const { kills, absences } = await killDaemons(node, random, killing);
  // What was under way at the last kill may still fail by it.
  await pause(SAMPLE_MS);
  churn.daemonsStable = true;
  console.log(`${kills} kills, the agent away for ${AWAY_MS / 1000} s after ${absences} of them`);
  console.log(`${churn.counts.added} ADD and ${churn.counts.deleted} DEL so far`);
  const samples = await watchMemory(node, goOn);
  await Promise.all([churning, connecting]);

  const { added, deleted, putOff, failures } = churn.counts;
  console.log(`${added} ADD, ${deleted} DEL, ${putOff} ADD told to try again`);
  const lasting = traffic.lastingFailure();
  return [
    ...failures,
    ...(absences > 0 ? [] : ["the agent was never away"]),
    ...traffic.failures,
    ...(lasting === undefined ? [] : [lasting]),
    ...judgeGrowth("novanet-dataplane", samples.dataplane),
    ...judgeGrowth("novanet-agent", samples.agent),
    ...await leftovers(node, before),
    ...await leftOpen(node, descriptors),
    ...await diagnosis(node),
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      pods: { type: "string", default: "5000" },
      minutes: { type: "string", default: "60" },
      "at-once": { type: "string", default: "50" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    },
  });
  const [pods, minutes, atOnce, seed] = [
    values.pods,
    values.minutes,
    values["at-once"],
    values.seed,
  ]
    .map(Number) as [number, number, number, number];
  if (!(pods > 0 && minutes > 0 && atOnce > 0 && seed >= 0)) {
    console.error("usage: ./run soak churn [--pods N] [--at-once N] [--minutes N] [--seed N]");
    return 2;
  }
  if (Deno.uid() !== 0) {
    console.error("soak: root is needed: it makes network namespaces and loads BPF programs");
    return 1;
  }
  console.log(`soak: ${pods} pods, ${atOnce} at once, ${minutes} minutes at most, seed ${seed}`);
  const problems = await soak({ pods, atOnce, minutes, seed });
  for (const problem of problems.slice(0, 50)) console.log(`PROBLEM ${problem}`);
  console.log(problems.length === 0 ? "soak: passed" : `soak: ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

Deno.exit(await main());
