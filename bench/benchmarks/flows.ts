import { join } from "node:path";
import type { GetDataplaneStatusResponse } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Layout } from "../../shared/gen/abi.ts";
import { BpfMap } from "../../shared/ffi/bpf.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { hostIfName, LabNode, type LabPod } from "../../shared/testing/node.ts";
import { ethernet, ipv4, udp } from "../../shared/testing/packets.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";
import { cpuUs, dataplaneClient } from "../lib/daemons.ts";
import { FlowCounter, type FlowSource } from "../lib/flow_counter.ts";
import { clearConnections } from "../lib/packet_lab.ts";

const RATE = 200_000;
const SECONDS = 4;
/** Room for the flows of a run beside those of nobody else. */
const CONNTRACK_MAX = 2 * RATE * SECONDS;
/** Events of pods and daemons that have nothing to do with the run: neighbours, start of the stream. */
const SETTLE_TIMEOUT_MS = 20_000;

/** What one run came to. */
interface Outcome {
  readonly offeredPerSecond: number;
  /** Events that the ring had no room for. */
  readonly lostInRing: number;
  /** Events that the subscriber did not get, of those that the ring took. */
  readonly lostByReader: number;
  /** Processor time of the daemon that the subscriber asks, or of the agent, for each event. */
  readonly cpuUs: number;
}

/** A node with two pods, and what makes flows from one to the other. */
class FlowNode {
  readonly #node: LabNode;
  readonly #from: LabPod;
  readonly #to: LabPod;
  #next = 0;

  private constructor(node: LabNode, from: LabPod, to: LabPod) {
    this.#node = node;
    this.#from = from;
    this.#to = to;
  }

  static async create(lab: NetnsLab): Promise<FlowNode> {
    const node = await LabNode.create(lab, {
      dataplaneFlags: [`--conntrack-max=${CONNTRACK_MAX}`],
    });
    await node.start();
    return new FlowNode(node, await node.addPod("from"), await node.addPod("to"));
  }

  /** Runs without the agent, which is the dataplane's subscriber else. */
  async withoutAgent(): Promise<void> {
    await this.#node.agent.kill();
  }

  async measure(source: FlowSource | undefined): Promise<Outcome> {
    using client = dataplaneClient(this.#node);
    {
      using maps = new DisposableStack();
      const pinned = (name: string) =>
        maps.use(BpfMap.openPinned(join(this.#node.pinDir, `${name}_v${Layout.LAYOUT_VERSION}`)));
      clearConnections(pinned);
    }
    const socket = source === "agent" ? "novanet.sock" : "dataplane.sock";
    await using counter = source && new FlowCounter(source, this.#node.socket(socket));
    const before = await client.getDataplaneStatus({});
    const { pid } = source === "dataplane" ? this.#node.dataplane : this.#node.agent;
    const cpuBefore = cpuUs(pid);
    const { flows, milliseconds } = await this.#produce();
    let after = before;
    await eventually(async () => {
      after = await client.getDataplaneStatus({});
      const seen = counter === undefined ? flows : counter.events + counter.lost;
      return seenBy(after, before) >= flows && seen >= flows;
    }, { timeoutMs: SETTLE_TIMEOUT_MS, intervalMs: 50, what: "all events counted" });
    return {
      offeredPerSecond: flows / milliseconds * 1000,
      lostInRing: Number(after.lostFlowEvents - before.lostFlowEvents),
      lostByReader: counter?.lost ??
        Number(after.lostSubscriberEvents - before.lostSubscriberEvents),
      cpuUs: (cpuUs(pid) - cpuBefore) / flows,
    };
  }

  async #produce(): Promise<{ flows: number; milliseconds: number }> {
    using links = this.#node.netns.rtnetlink();
    const { index, mac } = links.linkGet(hostIfName(this.#from));
    const packet = ipv4(
      { src: this.#from.ip, dst: this.#to.ip },
      udp({ srcPort: 1, dstPort: 1 }, "x"),
    );
    const frame = ethernet({
      src: this.#from.result.interfaces.find(({ sandbox }) => sandbox !== undefined)?.mac ?? "",
      dst: mac?.toString() ?? "",
    }, packet);
    const program = [...Deno.readDirSync(this.#node.pinDir)]
      .find(({ name }) => name.startsWith("prog_pod_egress_"))?.name ?? "";
    const first = this.#next;
    this.#next += RATE * SECONDS;
    const { stdout } = await this.#node.netns.run([
      Deno.execPath(),
      "run",
      "-A",
      "--no-check",
      join(import.meta.dirname ?? ".", "..", "lib", "produce_flows.ts"),
      join(this.#node.pinDir, program),
      `${index}`,
      frame.toHex(),
      `${first}`,
      `${RATE}`,
      `${SECONDS}`,
    ]);
    return JSON.parse(stdout) as { flows: number; milliseconds: number };
  }
}

function seenBy(after: GetDataplaneStatusResponse, before: GetDataplaneStatusResponse): number {
  return Number(
    after.flowEvents + after.lostFlowEvents - before.flowEvents - before.lostFlowEvents,
  );
}

/** What reads events, from the fewest processes to the most. */
const READERS = {
  "the agent": undefined,
  "the agent, and a subscriber of it": "agent",
  "a subscriber of the dataplane, no agent": "dataplane",
} as const;
type Reader = keyof typeof READERS;

async function run({ rounds, note }: BenchContext): Promise<Row[]> {
  const outcomes = new Map<Reader, Outcome[]>();
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    await using lab = new NetnsLab();
    const node = await FlowNode.create(lab);
    for (const [name, source] of Object.entries(READERS) as [Reader, FlowSource | undefined][]) {
      if (source === "dataplane") await node.withoutAgent();
      const list = outcomes.get(name) ?? [];
      list.push(await node.measure(source));
      outcomes.set(name, list);
    }
  }
  return [...outcomes].flatMap(([name, list]) => rowsOf(name, list));
}

function rowsOf(name: Reader, outcomes: readonly Outcome[]): Row[] {
  const none = { of: "value", atMost: 0 } as const;
  const sum = (
    of: (outcome: Outcome) => number,
  ) => [outcomes.reduce((total, outcome) => total + of(outcome), 0)];
  const lost = (where: string, of: (outcome: Outcome) => number) =>
    row({ what: `lost ${where}, all rounds: ${name}`, unit: "events", ours: sum(of), mark: none });
  return [
    row({
      what: `events offered: ${name}`,
      unit: "/s",
      ours: outcomes.map(({ offeredPerSecond }) => offeredPerSecond),
      mark: { of: "value", atLeast: 0.98 * RATE },
    }),
    lost("in the ring", ({ lostInRing }) => lostInRing),
    row({
      what: `processor time for each event: ${
        READERS[name] === "dataplane" ? "novanet-dataplane" : "novanet-agent"
      }, read by ${name}`,
      unit: "µs",
      ours: outcomes.map(({ cpuUs }) => cpuUs),
    }),
    lost("by the reader", ({ lostByReader }) => lostByReader),
  ];
}

/** Flow events per second, and what is lost. */
export const flows: Benchmark = {
  name: "flows",
  title: "Flow events",
  method:
    `New flows at ${RATE} a second for ${SECONDS} s, an event for each: BPF_PROG_TEST_RUN on the program that the compiled dataplane ` +
    "has attached, by a process of its own. Who makes the events, the dataplane, the agent and the subscriber (our client, which " +
    "decodes every event) share the machine.",
  run,
};
