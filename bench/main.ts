/**
 * `./run bench [FILTER...] [--rounds N]`: measures NovaNet beside its peers, in one run, alternating.
 *
 * With FILTER only the benchmarks whose name holds one of the words are run. The figures go to bench/results.json and
 * into docs/performance.md; those of benchmarks that are not run stay as they were.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { NetnsLab } from "../shared/testing/lab.ts";
import { BENCHMARKS } from "./benchmarks/mod.ts";
import type { Benchmark } from "./lib/benchmark.ts";
import { busyShare, commit, machineFacts } from "./lib/machine.ts";
import {
  type BenchmarkResult,
  performanceSections,
  plainTable,
  type Results,
  withSections,
} from "./lib/report.ts";

const HERE = import.meta.dirname ?? ".";
const RESULTS = join(HERE, "results.json");
const PAGE = join(HERE, "..", "docs", "performance.md");
const DEFAULT_ROUNDS = 5;

function readResults(): Results {
  try {
    return JSON.parse(Deno.readTextFileSync(RESULTS)) as Results;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

async function runOne(benchmark: Benchmark, rounds: number): Promise<BenchmarkResult> {
  const started = performance.now();
  const busyBefore = await busyShare(1);
  await using lab = new NetnsLab();
  const rows = await benchmark.run({
    lab,
    rounds,
    note: (text) => console.error(`  ${benchmark.name}: ${text}`),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`\n${benchmark.title} (${seconds} s)\n${plainTable(rows)}`);
  for (const { what, cause } of rows) {
    if (cause !== undefined) console.log(`missed: ${what}: ${cause}`);
  }
  return {
    title: benchmark.title,
    method: benchmark.method,
    date: new Date().toISOString(),
    commit: await commit(),
    busyBefore: Number(busyBefore.toFixed(2)),
    machine: machineFacts(),
    rows,
  };
}

function save(results: Results): void {
  Deno.writeTextFileSync(RESULTS, `${JSON.stringify(results, undefined, 1)}\n`);
  const page = Deno.readTextFileSync(PAGE);
  Deno.writeTextFileSync(PAGE, withSections(page, performanceSections(results, BENCHMARKS)));
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: "string", default: String(DEFAULT_ROUNDS) } },
  });
  const rounds = Number(values.rounds);
  const chosen = BENCHMARKS.filter(({ name }) =>
    positionals.length === 0 || positionals.some((filter) => name.includes(filter))
  );
  if (chosen.length === 0 || !Number.isInteger(rounds) || rounds < 1) {
    const names = BENCHMARKS.map(({ name }) => name).join(" ");
    console.error(`usage: ./run bench [FILTER...] [--rounds N]\nbenchmarks: ${names}`);
    return 2;
  }
  if (Deno.uid() !== 0) {
    console.error("bench: root is needed: it makes network namespaces and loads BPF programs");
    return 1;
  }
  let failed = 0;
  for (const benchmark of chosen) {
    try {
      const result = await runOne(benchmark, rounds);
      save({ ...readResults(), [benchmark.name]: result });
    } catch (error) {
      failed++;
      console.error(`bench: ${benchmark.name}:`, error);
    }
  }
  return failed === 0 ? 0 : 1;
}

Deno.exit(await main());
