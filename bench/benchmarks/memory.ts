import { NetnsLab } from "../../shared/testing/lab.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { residentMb } from "../lib/daemons.ts";
import { addManyPods, addManyPolicies } from "../lib/node_load.ts";

const IDLE_MS = 3_000;
const LOAD = { policies: 1000, pods: 500, blocks: 1, ports: 1 };
/** What either daemon may take when idle, in MB, and how many times that with the load. */
const MOST = { dataplane: 120, agent: 150, times: 1.5 };

/** Megabytes of one daemon: idle and with the load. */
interface Figures {
  readonly idle: number[];
  readonly loaded: number[];
}

async function run({ rounds, note }: BenchContext): Promise<Row[]> {
  const figures = {
    dataplane: { idle: [], loaded: [] } as Figures,
    agent: { idle: [], loaded: [] } as Figures,
  };
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    await using lab = new NetnsLab();
    const node = await LabNode.create(lab, { podCidr: "10.244.0.0/22" });
    await node.start();
    const sample = async (of: keyof Figures) => {
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
      figures.dataplane[of].push(residentMb(node.dataplane.pid));
      figures.agent[of].push(residentMb(node.agent.pid));
    };
    await sample("idle");
    await addManyPods(lab, node, LOAD.pods);
    await addManyPolicies(node, LOAD);
    await sample("loaded");
  }
  return [
    ...rowsOf("novanet-dataplane", figures.dataplane, MOST.dataplane),
    ...rowsOf("novanet-agent", figures.agent, MOST.agent),
  ];
}

function rowsOf(name: string, { idle, loaded }: Figures, mostIdle: number): Row[] {
  const atMost = (mb: number): Mark => ({ of: "value", atMost: mb });
  const after = `${name}, ${
    IDLE_MS / 1000
  } s after ${LOAD.pods} pods and ${LOAD.policies} policies`;
  return [
    row({ what: `${name}, idle`, unit: "MB", ours: idle, mark: atMost(mostIdle) }),
    row({
      what: after,
      unit: "MB",
      ours: loaded,
      peer: { name: "idle", values: idle },
      mark: atMost(mostIdle * MOST.times),
    }),
  ];
}

/** What the daemons take of the machine's memory. */
export const memory: Benchmark = {
  name: "memory",
  title: "Memory",
  method:
    `Resident memory (VmRSS, pages of the executable itself included) of the compiled daemons, ${
      IDLE_MS / 1000
    } s after the agent became ready, ` +
    `without pods; and as long after ${LOAD.pods} pods with an identity each were connected, and ${LOAD.policies} policies that select them came into force.`,
  run,
};
