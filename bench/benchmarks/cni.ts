import { join } from "node:path";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { containerIdOf, LabNode } from "../../shared/testing/node.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { type Job, launch } from "../lib/launch.ts";
import { median, quantile } from "../lib/stats.ts";
import { compiledHello } from "../lib/tools.ts";

const PODS = 50;
/** Calls one after the other, in each round. */
const ALONE = 20;

const GRACE_PERIODS =
  "attaching a program by TCX waits for an RCU grace period while it holds the kernel's lock of all links (tcx_entry_sync), twice for each pod and again when they are taken off; with /sys/kernel/rcu_expedited at 1 the agent needs a third of the time";

const most = (atMost: number): Mark => ({ of: "ratio", atMost });

/** Times of one kind of call over all rounds. */
class Times {
  readonly p50: number[] = [];
  readonly every: number[] = [];
  readonly together: number[] = [];

  addAlone(milliseconds: readonly number[]): void {
    this.p50.push(median(milliseconds));
    this.every.push(...milliseconds);
  }
}

/** Prepares calls of the plugin for a number of namespaces. */
class Calls {
  readonly #node: LabNode;
  readonly #pods: readonly LabNetns[];
  readonly #config: string;

  constructor(node: LabNode, pods: readonly LabNetns[]) {
    this.#node = node;
    this.#pods = pods;
    this.#config = join(node.dir, "netconf.json");
    Deno.writeTextFileSync(
      this.#config,
      JSON.stringify({
        cniVersion: "1.1.0",
        name: "novanet",
        type: "novanet-cni",
        agentSocket: node.socket("cni.sock"),
        spoolDir: join(node.dir, "state", "spool"),
      }),
    );
  }

  jobs(command: "ADD" | "DEL", count: number): Job[] {
    return this.#pods.slice(0, count).map((netns, index) => ({
      argv: [this.#node.executable("novanet-cni")],
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: containerIdOf(netns.name),
        CNI_NETNS: netns.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: "/opt/cni/bin",
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-${index}`,
      },
      stdinFile: this.#config,
      outputFile: join(this.#node.dir, `cni-${index}.out`),
    }));
  }
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const hello = await compiledHello();
  // Rounds follow each other faster than a /24's addresses come out of their rest.
  const node = await LabNode.create(lab, { podCidr: "10.244.0.0/20" });
  await node.start();
  note(`${PODS} namespaces`);
  const pods: LabNetns[] = [];
  for (let index = 0; index < PODS; index++) pods.push(await lab.addNetns());
  const calls = new Calls(node, pods);
  const inside = ["nsenter", `--net=${node.netns.path}`, "--"];
  const hellos = (count: number): Job[] => Array.from({ length: count }, () => ({ argv: [hello] }));

  const [add, del, least] = [new Times(), new Times(), new Times()];
  await launch(hellos(3), 1, inside);
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    add.addAlone((await launch(calls.jobs("ADD", ALONE), 1, inside)).milliseconds);
    least.addAlone((await launch(hellos(ALONE), 1, inside)).milliseconds);
    del.addAlone((await launch(calls.jobs("DEL", ALONE), 1, inside)).milliseconds);
    add.together.push((await launch(calls.jobs("ADD", PODS), PODS, inside)).allMs);
    least.together.push((await launch(hellos(PODS), PODS, inside)).allMs);
    del.together.push((await launch(calls.jobs("DEL", PODS), PODS, inside)).allMs);
  }
  return [...rows("ADD", add, least), ...rows("DEL", del, least)];
}

function rows(what: string, ours: Times, hello: Times): Row[] {
  const name = "compiled hello";
  return [
    row({
      what: `${what}, p50`,
      unit: "ms",
      ours: ours.p50,
      peer: { name, values: hello.p50 },
      mark: most(2.5),
      cause: GRACE_PERIODS,
    }),
    row({
      what: `${what}, p99`,
      unit: "ms",
      ours: [quantile(ours.every, 0.99)],
      peer: { name, values: [quantile(hello.every, 0.99)] },
    }),
    row({
      what: `${PODS} ${what} at once, until the last is done`,
      unit: "ms",
      ours: ours.together,
      peer: { name: `${PODS} compiled hellos`, values: hello.together },
      mark: most(2),
      cause: GRACE_PERIODS,
    }),
  ];
}

/** What a container runtime waits for. */
export const cni: Benchmark = {
  name: "cni",
  title: "CNI ADD and DEL",
  method:
    `The compiled plugin from fork to exit, beside the least that \`deno compile\` makes (console.log, same flags). Alone: ${ALONE} calls in each round, one after the other. ` +
    "The agent and the dataplane are those of dist/, in a network namespace.",
  run,
};
