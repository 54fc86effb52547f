import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { alternate } from "../lib/alternate.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { dataplaneClient } from "../lib/daemons.ts";
import { serveIperf, tcpGbits, udpGbits } from "../lib/iperf.ts";
import { joinedPath, type NovanetPath, novanetPath, type Path, routedPath } from "../lib/paths.ts";
import { ONE_PROCESSOR, type Placement, TWO_PROCESSORS } from "../lib/placement.ts";

const SECONDS = 1.2;
const UDP_SECONDS = 1;
/** Values of CONFIG_KEY_FLOW_LEVEL. */
const FLOW_LEVEL = { off: 0n, all: 3n } as const;

/** Which of our nodes, how, beside which peer, and at least how many times as fast. */
const TCP_MARKS = [
  ["big", "BIG TCP", "routed", 1.6],
  ["big", "BIG TCP", "joined", 1.3],
  ["small", "BIG TCP off", "routed", 1.1],
  ["small", "BIG TCP off", "joined", 0.93],
] as const;

const ONE_PROCESSOR_CAUSE =
  "a profile (perf, cpu-clock) of one stream shows 34 % of the time in copying to and from the kernel, 1 % in our programs, and the rest in system calls, TCP and the " +
  "allocation of pages, which the peers have too: larger packets save only what is paid for each packet, and copying is slower here than where the mark was taken";
const TWO_PROCESSORS_CAUSE =
  "the sender wakes the receiver for each write of 128 KiB, and what wakes a halted virtual processor costs more than the path: on one processor all paths are faster than on two";

const least = (atLeast: number): Mark => ({ of: "ratio", atLeast });

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  note("two nodes, two pods on each; a routed and a joined pair");
  const big = await novanetPath(lab, { bigTcp: true });
  const small = await novanetPath(lab, { bigTcp: false });
  const routed = await routedPath(lab, big.mtu);
  const joined = await joinedPath(lab, big.mtu);
  for (const path of [big, small, routed, joined]) await serveIperf(path);

  const rows: Row[] = [];
  for (const placement of [ONE_PROCESSOR, TWO_PROCESSORS]) {
    for (const streams of [1, 4]) {
      const how = `TCP, ${streams} stream${streams > 1 ? "s" : ""}, ${placement.name}`;
      note(how);
      const measure = (path: Path) => () => tcpGbits(path, placement, streams, SECONDS);
      const values = await alternate(rounds, {
        big: measure(big),
        routed: measure(routed),
        small: measure(small),
        joined: measure(joined),
      });
      rows.push(...TCP_MARKS.map(([ours, name, peer, mark]) =>
        row({
          what: `${how}, ${name}`,
          unit: "Gbit/s",
          ours: values[ours],
          peer: { name: `${peer} pair`, values: values[peer] },
          mark: least(mark),
          cause: placement === ONE_PROCESSOR ? ONE_PROCESSOR_CAUSE : TWO_PROCESSORS_CAUSE,
        })
      ));
    }
    rows.push(...await udpRows({ ours: big, routed, joined }, placement, rounds, note));
  }
  rows.push(await flowsOnAndOff(big, rounds, note));
  return rows;
}

async function udpRows(
  paths: Readonly<Record<"ours" | "routed" | "joined", Path>>,
  placement: Placement,
  rounds: number,
  note: BenchContext["note"],
): Promise<Row[]> {
  note(`UDP, ${placement.name}`);
  const measure = (path: Path) => () => udpGbits(path, placement, UDP_SECONDS);
  const udp = await alternate(rounds, {
    ours: measure(paths.ours),
    routed: measure(paths.routed),
    joined: measure(paths.joined),
  });
  return (["routed", "joined"] as const).map((peer) =>
    row({
      what: `UDP, 1400-byte datagrams that arrive, ${placement.name}`,
      unit: "Gbit/s",
      ours: udp.ours,
      peer: { name: `${peer} pair`, values: udp[peer] },
    })
  );
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
    return await tcpGbits(path, ONE_PROCESSOR, 1, SECONDS);
  };
  const values = await alternate(2 * rounds, {
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
    "and two namespaces that are the ends of one veth pair, all with the pods' MTU. What arrives counts. Both ends on one processor, where the work for a byte is " +
    "all that counts, and on two.",
  run,
};
