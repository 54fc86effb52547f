import { runCommand } from "../../shared/testing/command.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";
import { startToServing } from "../lib/daemons.ts";
import { launch } from "../lib/launch.ts";
import { compiledHello } from "../lib/tools.ts";

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const hello = await compiledHello();
  const node = await LabNode.create(lab);
  const first: number[] = [];
  const again: number[] = [];
  const least: number[] = [];
  const inside = ["nsenter", `--net=${node.netns.path}`, "--"];
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    for (const list of [first, again]) {
      const { milliseconds, daemon } = await startToServing(node);
      list.push(milliseconds);
      await daemon.kill();
      least.push(...(await launch([{ argv: [hello] }], 1, inside)).milliseconds);
    }
    // deno-fmt-ignore
    await runCommand([
      node.executable("novanet-dataplane"), "--cleanup",
      `--socket=${node.socket("dataplane.sock")}`, `--pin-dir=${node.pinDir}`,
    ]);
  }
  const peer = { name: "compiled hello", values: least };
  return [
    row({ what: "start to serving, nothing pinned: loads all", unit: "ms", ours: first, peer }),
    row({
      what: "start to serving after kill -9: adopts what is pinned",
      unit: "ms",
      ours: again,
      peer,
      mark: { of: "ratio", atMost: 10 },
    }),
  ];
}

/** How soon the dataplane is there. */
export const start: Benchmark = {
  name: "start",
  title: "Start of the dataplane",
  method:
    "From the start of the compiled novanet-dataplane to its first answer (GetDataplaneStatus), beside the least that `deno compile` makes.",
  run,
};
