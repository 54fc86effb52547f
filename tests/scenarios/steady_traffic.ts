import assert from "node:assert/strict";
import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import type { LabNode, LabPod } from "../../shared/testing/node.ts";
import { DataplaneControl, type DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { TcpEchoServer } from "../../shared/testing/sockets.ts";
import { type NetCounters, netCounters } from "./net_counters.ts";
import { Transfer } from "./transfer.ts";
import { UdpStream } from "./udp_stream.ts";

/** Options of {@linkcode SteadyTraffic.start}. */
export interface SteadyTrafficOptions {
  /** Two pods. */
  readonly client: LabPod;
  readonly web: LabPod;
  /** Drops of this reason are not the traffic's. */
  readonly foreignDrops?: DropReason | undefined;
}

/** Who may reach web, and that web may begin nothing itself: what it sends passes as an answer, or not at all. */
export const GUARD_POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: default }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress, Egress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }, { ipBlock: { cidr: 192.0.2.0/24 } }] }]
`;

/** How many connections go which way: 100 together. */
const CONNECTIONS = { podToPod: 70, outsideToPod: 10, podToOutside: 10, nodeToPod: 10 };
const DATAGRAMS_PER_SECOND = 3_000;

/** 100 TCP connections and a UDP stream between two pods, the node and the outside, and what the kernel counted of them. */
export class SteadyTraffic {
  readonly #namespaces: Readonly<Record<string, LabNetns>>;
  readonly #transfers: readonly Transfer[];
  readonly #datagrams: UdpStream;
  readonly #before: Readonly<Record<string, NetCounters>>;
  readonly #drops: () => Promise<string>;
  readonly #dropsBefore: string;

  private constructor(
    namespaces: Readonly<Record<string, LabNetns>>,
    transfers: readonly Transfer[],
    datagrams: UdpStream,
    before: Readonly<Record<string, NetCounters>>,
    drops: () => Promise<string>,
    dropsBefore: string,
  ) {
    this.#drops = drops;
    this.#namespaces = namespaces;
    this.#transfers = transfers;
    this.#datagrams = datagrams;
    this.#before = before;
    this.#dropsBefore = dropsBefore;
  }

  /** Connects all, and begins. It ends with the lab. */
  static async start(
    lab: NetnsLab,
    node: LabNode,
    { client, web, foreignDrops }: SteadyTrafficOptions,
  ): Promise<SteadyTraffic> {
    const { outside, addresses } = node;
    const [inPod, inOutside] = [web.netns, outside].map((netns) =>
      lab.own(new TcpEchoServer(netns))
    );
    const slow = { chunkBytes: 1000, pauseMs: 20 };
    const connect = async (count: number, ...way: Parameters<typeof Transfer.start>) => {
      const transfers: Transfer[] = [];
      for (let i = 0; i < count; i++) transfers.push(lab.own(await Transfer.start(...way)));
      return transfers;
    };
    const toPod = { ...slow, server: inPod };
    const transfers = [
      await connect(CONNECTIONS.podToPod, client.netns, web.netns, web.ip, toPod),
      await connect(CONNECTIONS.outsideToPod, outside, web.netns, web.ip, toPod),
      await connect(CONNECTIONS.nodeToPod, node.netns, web.netns, web.ip, toPod),
      await connect(CONNECTIONS.podToOutside, client.netns, outside, addresses.outside, {
        ...slow,
        server: inOutside,
      }),
    ].flat();
    const datagrams = lab.own(
      new UdpStream(client.netns, web.netns, web.ip, DATAGRAMS_PER_SECOND),
    );
    const namespaces = { client: client.netns, web: web.netns, node: node.netns, outside };
    const drops = () => countDrops(node, foreignDrops);
    const traffic = new SteadyTraffic(
      namespaces,
      transfers,
      datagrams,
      await countAll(namespaces),
      drops,
      await drops(),
    );
    await traffic.progress();
    return traffic;
  }

  /** How many TCP connections there are. */
  get connections(): number {
    return this.#transfers.length;
  }

  /** Waits until each connection has brought something, and the stream too. */
  async progress(): Promise<void> {
    await Promise.all([
      ...this.#transfers.map((transfer) => transfer.progress(3000)),
      this.#datagrams.progress(),
    ]);
  }

  /** Ends all. @throws {AssertionError} when a byte, a datagram or a packet was lost, or a connection was reset */
  async endWhole(): Promise<void> {
    await Promise.all(this.#transfers.map((transfer) => transfer.end()));
    const lost = await this.#datagrams.end();
    assert.equal(lost, 0, `lost ${lost} of ${this.#datagrams.received + lost} datagrams`);
    assert.equal(this.#datagrams.outOfOrder, 0);
    const after = await countAll(this.#namespaces);
    assert.deepEqual(after, this.#before, "retransmissions, resets and errors");
    assert.equal(await this.#drops(), this.#dropsBefore, "drops that the dataplane counted");
  }

  /** Longest time in which a connection brought nothing. */
  get longestPauseMs(): number {
    return Math.max(...this.#transfers.map((transfer) => transfer.longestPauseMs));
  }
}

async function countAll(
  namespaces: Readonly<Record<string, LabNetns>>,
): Promise<Record<string, NetCounters>> {
  const entries = await Promise.all(
    Object.entries(namespaces).map(async ([name, netns]) =>
      [name, await netCounters(netns)] as const
    ),
  );
  return Object.fromEntries(entries);
}

/** The dataplane's drop counters that are not 0, by reason. */
async function countDrops(node: LabNode, foreign: DropReason | undefined): Promise<string> {
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const { dropCounters } = await dataplane.getDataplaneStatus({});
  const counts = Object.entries(dropCounters).filter(([reason, count]) =>
    count > 0n && Number(reason) !== foreign
  );
  return JSON.stringify(counts.map(String).sort());
}
