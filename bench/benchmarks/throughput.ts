import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { alternate } from "../lib/alternate.ts";
import { ProcessorsAwake } from "../lib/awake.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { dataplaneClient } from "../lib/daemons.ts";
import { serveIperf, tcpGbits, udpGbits } from "../lib/iperf.ts";
import { joinedPath, type NovanetPath, novanetPath, routedPath } from "../lib/paths.ts";

const SECONDS = 1.5;
const UDP_SECONDS = 1;
/** Values of CONFIG_KEY_FLOW_LEVEL. */
const FLOW_LEVEL = { off: 0n, all: 3n } as const;

const least = (atLeast: number): Mark => ({ of: "ratio", atLeast });

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  await using _awake = new ProcessorsAwake();
  note("two nodes, two pods on each; a routed and a joined pair");
  const big = await novanetPath(lab, { bigTcp: true });
  const small = await novanetPath(lab, { bigTcp: false });
  const routed = await routedPath(lab, big.mtu);
  const joined = await joinedPath(lab, big.mtu);
  for (const path of [big, small, routed, joined]) await serveIperf(path);

  const rows: Row[] = [];
  for (const streams of [1, 4]) {
    note(`TCP, ${streams} stream${streams > 1 ? "s" : ""}`);
    const values = await alternate(rounds, {
      big: () => tcpGbits(big, streams, SECONDS),
      routed: () => tcpGbits(routed, streams, SECONDS),
      small: () => tcpGbits(small, streams, SECONDS),
      joined: () => tcpGbits(joined, streams, SECONDS),
    });
    const pairs = [
      ["big", "BIG TCP", "routed", 1.6],
      ["big", "BIG TCP", "joined", 1.3],
      ["small", "BIG TCP off", "routed", 1.1],
      ["small", "BIG TCP off", "joined", 0.93],
    ] as const;
    rows.push(...pairs.map(([ours, how, peer, mark]) =>
      row({
        what: `TCP, ${streams} stream${streams > 1 ? "s" : ""}, ${how}`,
        unit: "Gbit/s",
        ours: values[ours],
        peer: { name: `${peer} pair`, values: values[peer] },
        mark: least(mark),
      })
    ));
  }

  note("UDP");
  const udp = await alternate(rounds, {
    ours: () => udpGbits(big, UDP_SECONDS),
    routed: () => udpGbits(routed, UDP_SECONDS),
    joined: () => udpGbits(joined, UDP_SECONDS),
  });
  for (const peer of ["routed", "joined"] as const) {
    rows.push(row({
      what: "UDP, 1400-byte datagrams that arrive",
      unit: "Gbit/s",
      ours: udp.ours,
      peer: { name: `${peer} pair`, values: udp[peer] },
    }));
  }
  rows.push(await flowsOnAndOff(big, rounds, note));
  return rows;
}

async function flowsOnAndOff(
  path: NovanetPath,
  rounds: number,
  note: BenchContext["note"],
): Promise<Row> {
  note("flow events on and off");
  using dataplane = dataplaneClient(path.node);
  const withLevel = (level: bigint) => async () => {
    await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_LEVEL]: level } });
    return await tcpGbits(path, 1, SECONDS);
  };
  const values = await alternate(rounds, {
    on: withLevel(FLOW_LEVEL.all),
    off: withLevel(FLOW_LEVEL.off),
  });
  return row({
    what: "TCP, 1 stream, flow level all",
    unit: "Gbit/s",
    ours: values.on,
    peer: { name: "flow level off", values: values.off },
    mark: least(0.99),
    cause: "less than the spread of the measurement can tell apart",
  });
}

/** How much gets through. */
export const throughput: Benchmark = {
  name: "throughput",
  title: "Throughput on one node",
  method:
    "iperf3 between two pods of one node (compiled executables, default configuration), with cubic, beside two namespaces that a third routes between " +
    "and two namespaces that are the ends of one veth pair, all with the pods' MTU. What arrives counts. Processors are kept from halting (bench/lib/awake.ts).",
  run,
};
