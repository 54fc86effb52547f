import type { NetnsLab } from "../../shared/testing/lab.ts";
import { LabNode, type LabPod } from "../../shared/testing/node.ts";
import { UdpSocket } from "../../shared/testing/sockets/udp_socket.ts";
import { alternate } from "../lib/alternate.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { addManyPods, addManyPolicies } from "../lib/node_load.ts";

const LOAD = { policies: 1000, pods: 500, blocks: 1, ports: 1 };
const PORT = 7000;
const OTHER_PORT = 7001;
const MOST_MS = 10_000;
/** Changes there and back in each round: one takes a fifth of a second, and the nodes much longer to fill. */
const CHANGES = 3;
/** Milliseconds between two datagrams, about: what a figure is exact to. */
const PROBE_MS = 1;
/** So many datagrams one after the other do not arrive: then the policy counts as closed. */
const SILENT = 50;
/** What "no slower" is judged by: the spread of one and the same node is of that size. */
const NO_SLOWER: Mark = { of: "ratio", atMost: 1.1 };

const policy = (port: number) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: reaction, namespace: default }
spec:
  podSelector: { matchLabels: { app: server } }
  policyTypes: [Ingress]
  ingress:
  - from: [{ podSelector: { matchLabels: { app: client } } }]
    ports: [{ protocol: UDP, port: ${port} }]
`;

const now = () => performance.now();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Two pods, one of which sends to the other all the time while a policy between them changes. */
class Probe {
  readonly #node: LabNode;
  readonly #client: UdpSocket;
  readonly #server: UdpSocket;
  readonly #to: { ip: string; port: number };

  private constructor(node: LabNode, client: LabPod, server: LabPod, lab: NetnsLab) {
    this.#node = node;
    this.#client = lab.own(new UdpSocket(client.netns));
    this.#server = lab.own(new UdpSocket(server.netns, { port: PORT }));
    this.#to = { ip: server.ip, port: PORT };
  }

  static async start(lab: NetnsLab): Promise<{ node: LabNode; probe: Probe }> {
    const node = await LabNode.create(lab, { podCidr: "10.244.0.0/22" });
    await node.start();
    const client = await node.addPod("client", { labels: { app: "client" } });
    const server = await node.addPod("server", { labels: { app: "server" } });
    const probe = new Probe(node, client, server, lab);
    await probe.close();
    return { node, probe };
  }

  /** Opens the port, which is closed. @returns milliseconds from the written file to the first datagram that arrived */
  async open(): Promise<number> {
    const written = await this.#write(PORT);
    for (let sent = now(); sent - written < MOST_MS; sent = now()) {
      this.#client.send(this.#to, String(sent));
      await pause(PROBE_MS);
      const [first] = this.#server.take();
      if (first !== undefined) return Number(new TextDecoder().decode(first.data)) - written;
    }
    throw new Error("the policy did not open the port");
  }

  /** Closes the port. @returns milliseconds from the written file to the last datagram that arrived */
  async close(): Promise<number> {
    const written = await this.#write(OTHER_PORT);
    let [last, silent] = [written, 0];
    for (let sent = now(); sent - written < MOST_MS; sent = now()) {
      this.#client.send(this.#to, String(sent));
      await pause(PROBE_MS);
      const arrived = this.#server.take().at(-1);
      silent = arrived === undefined ? silent + 1 : 0;
      if (arrived !== undefined) last = Number(new TextDecoder().decode(arrived.data));
      else if (silent === SILENT) return last - written;
    }
    throw new Error("the policy did not close the port");
  }

  /** @returns when the file was there */
  async #write(port: number): Promise<number> {
    await this.#node.writeManifest("reaction.yaml", policy(port));
    return now();
  }
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  note("a node with few pods and policies, and one with many");
  const few = await Probe.start(lab);
  const many = await Probe.start(lab);
  await addManyPods(lab, many.node, LOAD.pods);
  await addManyPolicies(many.node, LOAD);
  note("measuring");
  const closing: Record<"few" | "many", number[]> = { few: [], many: [] };
  const toggle = (name: "few" | "many", probe: Probe) => async () => {
    const milliseconds = await probe.open();
    closing[name].push(await probe.close());
    return milliseconds;
  };
  const opening = await alternate(rounds * CHANGES, {
    few: toggle("few", few.probe),
    many: toggle("many", many.probe),
  });
  return [
    ...rowsOf("first packet that a policy lets through", opening),
    ...rowsOf("last packet that a policy lets through", closing),
  ];
}

function rowsOf(what: string, { few, many }: Record<"few" | "many", number[]>): Row[] {
  const load = `${LOAD.policies} policies and ${LOAD.pods} pods known`;
  return [row({
    what: `from a written file to the ${what}, ${load}`,
    unit: "ms",
    ours: many,
    peer: { name: "1 policy and 2 pods known", values: few },
    mark: NO_SLOWER,
    cause: "something looks at all that is known",
  })];
}

/** How soon a change of a policy is in force. */
export const reaction: Benchmark = {
  name: "reaction",
  title: "From a policy file to packets",
  method:
    "A policy file is replaced while one pod sends a datagram a millisecond to another. Both nodes run at the same time, one with " +
    "500 real pods, each with an identity of its own, and 1,000 policies that select them; the change is the same on both. " +
    "Some 50 ms of each figure are the agent's waiting for the folder to be quiet, so that files that are written together come into force together.",
  run,
};
