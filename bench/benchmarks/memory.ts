import { LabNode } from "../../shared/testing/node.ts";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";
import { residentMb } from "../lib/daemons.ts";

const IDLE_MS = 3_000;

async function run({ rounds, note }: BenchContext): Promise<Row[]> {
  const dataplane: number[] = [];
  const agent: number[] = [];
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    await using lab = new NetnsLab();
    const node = await LabNode.create(lab);
    await node.start();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    dataplane.push(residentMb(node.dataplane.pid));
    agent.push(residentMb(node.agent.pid));
  }
  const unit = "MB";
  return [
    row({
      what: "novanet-dataplane, idle",
      unit,
      ours: dataplane,
      mark: { of: "value", atMost: 120 },
    }),
    row({ what: "novanet-agent, idle", unit, ours: agent, mark: { of: "value", atMost: 150 } }),
  ];
}

/** What the daemons take of the machine's memory. */
export const memory: Benchmark = {
  name: "memory",
  title: "Memory",
  method:
    "Resident memory (VmRSS, pages of the executable itself included) of the compiled daemons, three seconds after the agent became ready, without pods.",
  run,
};
