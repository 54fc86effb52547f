import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import {
  type BenchContext,
  type Benchmark,
  type Row,
  row,
  type RowInput,
} from "../lib/benchmark.ts";
import { dataplaneClient } from "../lib/daemons.ts";
import { joinedPath, type NovanetPath, novanetPath, type Path, routedPath } from "../lib/paths.ts";
import { ONE_PROCESSOR, onProcessor, type Placement, TWO_PROCESSORS } from "../lib/placement.ts";
import { nativeTool } from "../lib/tools.ts";

/** Of the server on a processor: this and the next one. */
const portOn = (processor: number) => String(7000 + 2 * processor);
const SECONDS = "1";
/** Values of CONFIG_KEY_FLOW_LEVEL. */
const FLOW_LEVEL = { off: 0n, connections: 2n } as const;
const EVENTS_CAUSE =
  "each connection makes several flow events, which both daemons handle on the processors that client and server use: see the same with flow level off";

const WAKE_CAUSE =
  "three quarters of the time is the waking of two halted virtual processors, which all paths wait for: on one processor an exchange takes a quarter";
const WORK_CAUSE =
  "all paths spend most of it in system calls, changes of process and the kernel's protocols: ours takes half a microsecond more than two namespaces joined directly, for both packets";

/** What bench/native/request_response.c prints. */
interface Exchanges {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

async function serve(tool: string, path: Path, processor: number): Promise<void> {
  const server = path.server.start(onProcessor(processor, [tool, "server", portOn(processor)]));
  await eventually(() => {
    if (server.exited) throw new Error(server.stderr);
    return server.stdout.includes("ready");
  }, { what: "request_response that serves" });
}

async function measure(
  tool: string,
  path: Path,
  kind: string,
  { client, server }: Placement,
): Promise<Exchanges> {
  const argv = [tool, kind, path.address, portOn(server), SECONDS];
  const { stdout } = await path.client.run(onProcessor(client, argv));
  const [perSecond = NaN, p50Us = NaN, p99Us = NaN] = stdout.trim().split(" ").map(Number);
  return { perSecond, p50Us, p99Us };
}

/** Alternates over the paths as alternate() does, but each measurement gives three numbers. */
async function measureAll(
  tool: string,
  paths: ReadonlyMap<string, Path>,
  kind: string,
  placement: Placement,
  rounds: number,
): Promise<ReadonlyMap<string, readonly Exchanges[]>> {
  const found = new Map<string, Exchanges[]>([...paths.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = [...paths];
    for (const [name, path] of round % 2 === 0 ? order : order.reverse()) {
      found.get(name)?.push(await measure(tool, path, kind, placement));
    }
  }
  return found;
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const tool = await nativeTool("request_response");
  const novanet = await novanetPath(lab, { bigTcp: true });
  const paths = new Map<string, Path>([
    ["novanet", novanet],
    ["routed pair", await routedPath(lab, novanet.mtu)],
    ["joined pair", await joinedPath(lab, novanet.mtu)],
  ]);
  for (const path of paths.values()) {
    for (const { server } of [ONE_PROCESSOR, TWO_PROCESSORS]) await serve(tool, path, server);
  }

  const rows: Row[] = [];
  const compare = (
    found: ReadonlyMap<string, readonly Exchanges[]>,
    what: string,
    unit: string,
    pick: (exchanges: Exchanges) => number,
    routedMark?: Pick<RowInput, "mark" | "cause">,
  ) => {
    const values = (name: string) => (found.get(name) ?? []).map(pick);
    for (const name of ["routed pair", "joined pair"]) {
      rows.push(row({
        what,
        unit,
        ours: values("novanet"),
        peer: { name, values: values(name) },
        ...(name === "routed pair" ? routedMark : {}),
      }));
    }
  };
  const kinds = { tcp: "TCP", udp: "UDP" } as const;
  for (const placement of [ONE_PROCESSOR, TWO_PROCESSORS]) {
    for (const [kind, label] of Object.entries(kinds)) {
      const what = `${label} request/response, ${placement.name}`;
      note(what);
      const found = await measureAll(tool, paths, kind, placement, rounds);
      compare(found, `${what}, p50`, "µs", ({ p50Us }) => p50Us, {
        mark: { of: "ratio", atMost: 0.9 },
        cause: placement === ONE_PROCESSOR ? WORK_CAUSE : WAKE_CAUSE,
      });
      compare(found, `${what}, p99`, "µs", ({ p99Us }) => p99Us);
    }
    const what = `new connections, ${placement.name}`;
    note(what);
    const found = await measureAll(tool, paths, "connect", placement, rounds);
    compare(found, what, "/s", ({ perSecond }) => perSecond, {
      mark: { of: "ratio", atLeast: 1.05 },
      cause: EVENTS_CAUSE,
    });
    await withoutFlowEvents(novanet, async () => {
      const silent = await measureAll(tool, paths, "connect", placement, rounds);
      compare(silent, `${what}, flow level off`, "/s", ({ perSecond }) => perSecond);
    });
  }
  return rows;
}

async function withoutFlowEvents(
  { node }: NovanetPath,
  measureThem: () => Promise<void>,
): Promise<void> {
  using dataplane = dataplaneClient(node);
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_LEVEL]: FLOW_LEVEL.off } });
  await measureThem();
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_LEVEL]: FLOW_LEVEL.connections } });
}

/** How fast answers come. */
export const latency: Benchmark = {
  name: "latency",
  title: "Latency and new connections on one node",
  method:
    "One client and one server that exchange single bytes over one connection (request/response), or connect, exchange one byte and close, one connection " +
    "after the other (bench/native/request_response.c); the same three paths, and the same two placements, as for throughput.",
  run,
};
