import { Counters } from "../../../dataplane/maps/counters.ts";
import { BpfMap } from "../../../shared/ffi/bpf.ts";
import { Layout, Statistic } from "../../../shared/gen/abi.ts";
import { AgentControl, DropReason } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import type { RunningCommand } from "../../../shared/testing/command.ts";
import { NetnsLab } from "../../../shared/testing/lab.ts";
import { hostIfName, LabNode, type LabPod } from "../../../shared/testing/node.ts";
import { TcpClient, TcpEchoServer } from "../../../shared/testing/sockets.ts";
import { addManyPods, addManyPolicies, entriesOf } from "../../lib/node_load.ts";
import { median, quantile } from "../../lib/stats.ts";
import { nativeTool } from "../../lib/tools.ts";
import { growthOf, type ProcessSample } from "../memory.ts";
import { LIMITS, LOAD } from "./limits.ts";
import { filtersFor, Readers } from "./readers.ts";
import { Watch } from "./watch.ts";

/** Addresses that denied packets come from, from this one on: 11.0.0.0/8 is nobody's here. */
const FIRST_SOURCE = "11.0.0.1";
const SAMPLE_MS = 1_000;
/** A sample of exchanges takes a second itself. */
const SAMPLES_PER_EXCHANGE = 5;
const EXCHANGE_TIMEOUT_MS = 10_000;
const LEAST_SAMPLES = 100;
const LOG_TAIL = 4_000;
const GUARD = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: default }
spec: { podSelector: { matchLabels: { app: closed } }, policyTypes: [Ingress] }
`;

/** How a run is to be. */
export interface BoundsOptions {
  /** How long the load lasts at least. */
  readonly seconds: number;
  /** Hears how far it is. */
  readonly note: (text: string) => void;
}

/** A node with all of the load. */
class LoadedNode {
  private constructor(
    readonly lab: NetnsLab,
    readonly node: LabNode,
    readonly pods: Readonly<Record<"client" | "server" | "closed", LabPod>>,
    readonly readers: Readers,
    readonly stopped: Readers,
  ) {}

  static async create(
    lab: NetnsLab,
    node: LabNode,
    note: (text: string) => void,
  ): Promise<LoadedNode> {
    await node.start();
    const add = (app: string) => node.addPod(app, { labels: { app } });
    const pods = {
      client: await add("client"),
      server: await add("server"),
      closed: await add("closed"),
    };
    await node.writeManifest("closed.yaml", GUARD);
    note(`${LOAD.pods} pods`);
    await addManyPods(lab, node, LOAD.pods - Object.keys(pods).length);
    const blocks = 12;
    const ports = LOAD.entries / LOAD.policies / blocks;
    const load = { policies: LOAD.policies, pods: LOAD.policies / 2, blocks, ports };
    note(`${LOAD.policies} policies, ${entriesOf(load)} entries`);
    await addManyPolicies(node, load);
    note(`${LOAD.subscribers} subscribers, ${LOAD.stopped} of them stopped`);
    const { identities } = await node.client(AgentControl, "novanet.sock").listIdentities({});
    const ids = identities.map(({ identityId }) => identityId);
    const reading = filtersFor(LOAD.subscribers - LOAD.stopped, ids);
    const readers = await Readers.start(lab, node, reading);
    const stopped = await Readers.start(lab, node, ["agent:0:all", "dataplane:0:all"]);
    return new LoadedNode(lab, node, pods, readers, stopped);
  }

  /** Starts both floods. @param seconds that they last */
  async flood(seconds: number): Promise<RunningCommand[]> {
    const tool = await nativeTool("flood");
    const { client, server, closed } = this.pods;
    using links = this.node.netns.rtnetlink();
    const macOf = (name: string) => links.linkGet(name).mac?.toString() ?? "";
    const count = (rate: number) => `${Math.max(LOAD.least, Math.round(rate * seconds))}`;
    const { flowsPerSecond, deniedPerSecond } = LOAD;
    // deno-fmt-ignore
    return [
      client.netns.start([
        tool, "eth0", macOf(hostIfName(client)), client.ip, server.ip, "flows", `${flowsPerSecond}`, count(flowsPerSecond),
      ]),
      this.node.outside.start([
        tool, "node", macOf("uplink"), FIRST_SOURCE, closed.ip, "sources", `${deniedPerSecond}`, count(deniedPerSecond),
      ]),
    ];
  }
}

/** Runs the load and measures. @returns what went beyond its bounds @throws {Error} with the daemons' logs */
export async function soakBounds(options: BoundsOptions): Promise<string[]> {
  await using lab = new NetnsLab();
  const node = await LabNode.create(lab, {
    podCidr: "10.244.0.0/22",
    dataplaneFlags: ["--conntrack-max=1048576", "--policy-max=131072"],
  });
  try {
    return await soak(lab, node, options);
  } catch (cause) {
    const logs = node.daemons.map(({ argv, stderr }) => `${argv[3]}:\n${stderr.slice(-LOG_TAIL)}`);
    throw new Error(`${cause}\n${logs.join("\n")}`, { cause });
  }
}

async function soak(
  lab: NetnsLab,
  node: LabNode,
  { seconds, note }: BoundsOptions,
): Promise<string[]> {
  const started = performance.now();
  const loaded = await LoadedNode.create(lab, node, note);
  const { pods, readers, stopped } = loaded;
  const watch = new Watch(node);
  await Watch.serve(pods.server);
  await using server = new TcpEchoServer(pods.server.netns);
  using lasting = await TcpClient.connect(pods.client.netns, {
    ip: pods.server.ip,
    port: server.port,
  });
  note(`all is there after ${((performance.now() - started) / 1000).toFixed(0)} s`);
  stopped.stop();
  const floods = await loaded.flood(seconds);
  for (let round = 0; floods.some(({ exited }) => !exited); round++) {
    await watch.sample();
    await lasting.exchange("still there?", EXCHANGE_TIMEOUT_MS);
    if (round % SAMPLES_PER_EXCHANGE === 0) await watch.exchange(pods.client, pods.server);
    else await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  for (const flood of floods) {
    const { code, stderr } = await flood.wait();
    if (code !== 0) watch.failures.push(`flood: ${stderr}`);
  }
  await watch.sample();
  const [seen, lost] = readers.sums();
  note(`subscribers read ${seen} events and lost ${lost}`);
  const missed = await stopped.catchUp(readers.totals());
  note(`the stopped ones, reading again, are told of ${missed} that they lost`);
  return [
    ...judge(watch, openedFlows(node), note),
    ...missed > 0 ? [] : ["the stopped subscribers lost nothing"],
  ];
}

/** Flows that got an entry: one that is refused, and told, is none. */
function openedFlows({ pinDir }: LabNode): number {
  using map = BpfMap.openPinned(`${pinDir}/STATISTICS_v${Layout.LAYOUT_VERSION}`);
  return Number(new Counters(map).read(Statistic.STATISTIC_CONNTRACK_CREATED));
}

function judge(watch: Watch, flows: number, note: (text: string) => void): string[] {
  const problems = [...watch.failures];
  const atMost = (what: string, value: number, most: number, unit: string) => {
    note(`${what}: ${value.toFixed(1)} ${unit}, at most ${most} ${unit}`);
    if (value > most) problems.push(`${what}: ${value.toFixed(1)} ${unit}, more than ${most}`);
  };
  const daemon = (name: string, samples: readonly ProcessSample[], mostMb: number) => {
    atMost(`${name}, memory`, Math.max(...samples.map((s) => s.residentMb)), mostMb, "MB");
    // Heaps and tables fill in the first third.
    const { from, to } = growthOf(samples.slice(samples.length / 3));
    atMost(`${name}, more descriptors`, to.descriptors - from.descriptors, LIMITS.descriptors, "");
    // In a minute a heap that grows cannot be told from one that breathes, nor one answer in a hundred from the worst.
    if (samples.length < LEAST_SAMPLES) return;
    const growth = (to.residentMb / from.residentMb - 1) * 100;
    atMost(`${name}, growth`, growth, LIMITS.growthPercent, "%");
  };
  daemon("novanet-dataplane", watch.dataplane, LIMITS.dataplaneMb);
  daemon("novanet-agent", watch.agent, LIMITS.agentMb);
  atMost("answers, median", median(watch.rpcMs), LIMITS.rpcMedianMs, "ms");
  if (watch.rpcMs.length >= 2 * LEAST_SAMPLES) {
    atMost("answers, p99", quantile(watch.rpcMs, 0.99), LIMITS.rpcP99Ms, "ms");
  }
  atMost("packets there and back, p99", median(watch.packetP99Us), LIMITS.packetP99Us, "µs");
  const status = watch.last;
  const refused = status?.dropCounters[DropReason.CONNTRACK_FULL] ?? 0n;
  note(`${flows} flows opened, ${refused} packets refused by a full table`);
  if (flows < LOAD.least) problems.push(`${flows} flows were opened, not ${LOAD.least}`);
  const denied = Number(status?.dropCounters[DropReason.POLICY_DENIED] ?? 0n);
  note(
    `${status?.flowEvents} events, ${status?.lostFlowEvents} lost in the ring; ${denied} packets denied; ${
      status?.mapUsage.map(({ name, entries, maxEntries }) => `${name} ${entries}/${maxEntries}`)
        .join(", ")
    }`,
  );
  if (denied < LOAD.least) problems.push(`${denied} packets were denied, not ${LOAD.least}`);
  if (Number(status?.flowEvents ?? 0n) + Number(status?.lostFlowEvents ?? 0n) < 2 * LOAD.least) {
    problems.push(`${status?.flowEvents} flow events are fewer than flows and denied packets`);
  }
  return problems;
}
