import { join } from "node:path";
import { queryTcx } from "../../shared/ffi/bpf.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { containerIdOf, LabNode } from "../../shared/testing/node.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { type Job, launch } from "../lib/launch.ts";
import { median, quantile } from "../lib/stats.ts";
import { compiledHello } from "../lib/tools.ts";

const PODS = 50;
/** Where Debian's package containernetworking-plugins puts them. */
const REFERENCE_PLUGINS = "/usr/lib/cni";
/** Calls one after the other, in each round. */
const ALONE = 20;

const GRACE_PERIODS =
  "the kernel waits for RCU grace periods, two for each pod and 10 to 20 ms each, with all links locked when it takes TCX programs off (tcx_entry_sync); with /sys/kernel/rcu_expedited at 1 they take a third";

const most = (atMost: number): Mark => ({ of: "ratio", atMost });

/** Times of one kind of process over all rounds. */
class Times {
  readonly p50: number[] = [];
  readonly every: number[] = [];
  readonly together: number[] = [];
}

/** Makes the jobs of a number of calls. */
type Jobs = (count: number) => Job[];

/** Calls of a CNI plugin for a number of namespaces. */
class Calls {
  readonly #plugin: string;
  readonly #dir: string;
  readonly #pods: readonly LabNetns[];

  /** @param dir where the configuration and the plugin's answers go */
  constructor(plugin: string, dir: string, pods: readonly LabNetns[], config: object) {
    this.#plugin = plugin;
    this.#dir = dir;
    this.#pods = pods;
    Deno.mkdirSync(dir);
    Deno.writeTextFileSync(join(dir, "netconf.json"), JSON.stringify(config));
  }

  jobs(command: "ADD" | "DEL"): Jobs {
    return (count) =>
      this.#pods.slice(0, count).map((netns, index) => ({
        argv: [this.#plugin],
        env: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: containerIdOf(netns.name),
          CNI_NETNS: netns.path,
          CNI_IFNAME: "eth0",
          CNI_PATH: REFERENCE_PLUGINS,
          CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-${index}`,
        },
        stdinFile: join(this.#dir, "netconf.json"),
        outputFile: join(this.#dir, `${index}.out`),
      }));
  }
}

async function addNamespaces(lab: NetnsLab): Promise<LabNetns[]> {
  const pods: LabNetns[] = [];
  for (let index = 0; index < PODS; index++) pods.push(await lab.addNetns());
  return pods;
}

/** NovaNet's plugin, with both daemons running. */
async function ours(lab: NetnsLab, node: LabNode): Promise<Calls> {
  await node.start();
  const config = {
    cniVersion: "1.1.0",
    name: "novanet",
    type: "novanet-cni",
    agentSocket: node.socket("cni.sock"),
    spoolDir: join(node.dir, "state", "spool"),
    // As `novanet-cni install` writes it.
    quickAttach: true,
  };
  const plugin = node.executable("novanet-cni");
  return new Calls(plugin, join(node.dir, "ours"), await addNamespaces(lab), config);
}

/** The reference plugins, in the same namespace of the host. */
async function reference(lab: NetnsLab, node: LabNode): Promise<Calls> {
  const plugin = join(REFERENCE_PLUGINS, "ptp");
  if (!(await exists(plugin))) {
    throw new Error(`${plugin} is not there: install Debian's containernetworking-plugins`);
  }
  const dir = join(node.dir, "reference");
  const ipam = { type: "host-local", subnet: "10.245.0.0/20", dataDir: join(dir, "addresses") };
  const config = { cniVersion: "1.0.0", name: "reference", type: "ptp", ipam };
  return new Calls(plugin, dir, await addNamespaces(lab), config);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Waits until all pods' programs have moved to TCX, as those of pods that live for long have. */
async function untilMoved(node: LabNode): Promise<void> {
  using links = node.netns.rtnetlink();
  const pods = links.linkList().filter(({ name }) => name.startsWith("nv"));
  await eventually(
    () => inNetns(node.netns.path, () => pods.every(({ index }) => isMoved(index))),
    { timeoutMs: 60_000, intervalMs: 50, what: "programs that are attached by TCX" },
  );
}

function isMoved(ifindex: number): boolean {
  return (["ingress", "egress"] as const).every((hook) => queryTcx(ifindex, hook).length === 1);
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const hello = await compiledHello();
  // Rounds follow each other faster than a /24's addresses come out of their rest.
  const node = await LabNode.create(lab, { podCidr: "10.244.0.0/20" });
  note(`${PODS} namespaces for each plugin`);
  const [own, theirs] = [await ours(lab, node), await reference(lab, node)];
  const inside = ["nsenter", `--net=${node.netns.path}`, "--"];
  const hellos: Jobs = (count) => Array.from({ length: count }, () => ({ argv: [hello] }));
  const kinds = (command: "ADD" | "DEL") => ({
    ours: { jobs: own.jobs(command), times: new Times() },
    hello: { jobs: hellos, times: new Times() },
    reference: { jobs: theirs.jobs(command), times: new Times() },
  });
  const [add, del] = [kinds("ADD"), kinds("DEL")];

  await launch(hellos(3), 1, inside);
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    for (const together of [false, true]) {
      for (const command of [add, del]) {
        if (command === del) await untilMoved(node);
        const all = Object.values(command);
        for (const { jobs, times } of round % 2 === 0 ? all : all.toReversed()) {
          if (together) times.together.push((await launch(jobs(PODS), PODS, inside)).allMs);
          else {
            const { milliseconds } = await launch(jobs(ALONE), 1, inside);
            times.p50.push(median(milliseconds));
            times.every.push(...milliseconds);
          }
        }
      }
    }
  }
  return [...rows("ADD", add), ...rows("DEL", del)];
}

function rows(what: string, kinds: Record<"ours" | "hello" | "reference", { times: Times }>) {
  const { ours, hello, reference } = kinds;
  const cause = what === "DEL" ? { cause: GRACE_PERIODS } : {};
  const peers = [
    { ...hello, name: "compiled hello", marks: true },
    { ...reference, name: "ptp + host-local", marks: false },
  ];
  return peers.flatMap(({ name, times: peer, marks }): Row[] => [
    row({
      what: `${what}, p50`,
      unit: "ms",
      ours: ours.times.p50,
      peer: { name, values: peer.p50 },
      ...(marks ? { mark: most(2.5), ...cause } : {}),
    }),
    row({
      what: `${what}, p99`,
      unit: "ms",
      ours: [quantile(ours.times.every, 0.99)],
      peer: { name, values: [quantile(peer.every, 0.99)] },
    }),
    row({
      what: `${PODS} ${what} at once, until the last is done`,
      unit: "ms",
      ours: ours.times.together,
      peer: { name: `${PODS} times ${name}`, values: peer.together },
      ...(marks ? { mark: most(2), ...cause } : {}),
    }),
  ]);
}

/** What a container runtime waits for. */
export const cni: Benchmark = {
  name: "cni",
  title: "CNI ADD and DEL",
  method:
    `The compiled plugin from fork to exit, beside the least that \`deno compile\` makes (console.log, same flags) and beside the reference plugins ptp and host-local (Go, Debian's package). Alone: ${ALONE} calls in each round, one after the other. ` +
    "The agent and the dataplane are those of dist/, in a network namespace; the configuration is as `novanet-cni install` writes it. DEL is of pods whose programs have moved to TCX.",
  run,
};
