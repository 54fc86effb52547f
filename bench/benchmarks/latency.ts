import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { ProcessorsAwake } from "../lib/awake.ts";
import { type BenchContext, type Benchmark, type Mark, type Row, row } from "../lib/benchmark.ts";
import { dataplaneClient } from "../lib/daemons.ts";
import { joinedPath, type NovanetPath, novanetPath, type Path, routedPath } from "../lib/paths.ts";
import { nativeTool } from "../lib/tools.ts";

const PORT = "7000";
const SECONDS = "1";
/** Values of CONFIG_KEY_FLOW_LEVEL. */
const FLOW_LEVEL = { off: 0n, connections: 2n } as const;
const EVENTS_CAUSE =
  "each connection makes several flow events, which both daemons handle on the processors that client and server use: see the same with flow level off";

/** What bench/native/request_response.c prints. */
interface Exchanges {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

async function serve(tool: string, path: Path): Promise<void> {
  const server = path.server.start([tool, "server", PORT]);
  await eventually(() => {
    if (server.exited) throw new Error(server.stderr);
    return server.stdout.includes("ready");
  }, { what: "request_response that serves" });
}

async function measure(tool: string, path: Path, kind: string): Promise<Exchanges> {
  const { stdout } = await path.client.run([tool, kind, path.address, PORT, SECONDS]);
  const [perSecond = NaN, p50Us = NaN, p99Us = NaN] = stdout.trim().split(" ").map(Number);
  return { perSecond, p50Us, p99Us };
}

/** Alternates over the paths as alternate() does, but each measurement gives three numbers. */
async function measureAll(
  tool: string,
  paths: ReadonlyMap<string, Path>,
  kind: string,
  rounds: number,
): Promise<ReadonlyMap<string, readonly Exchanges[]>> {
  const found = new Map<string, Exchanges[]>([...paths.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = [...paths];
    for (const [name, path] of round % 2 === 0 ? order : order.reverse()) {
      found.get(name)?.push(await measure(tool, path, kind));
    }
  }
  return found;
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  await using _awake = new ProcessorsAwake();
  const tool = await nativeTool("request_response");
  const novanet = await novanetPath(lab, { bigTcp: true });
  const paths = new Map<string, Path>([
    ["novanet", novanet],
    ["routed pair", await routedPath(lab, novanet.mtu)],
    ["joined pair", await joinedPath(lab, novanet.mtu)],
  ]);
  for (const path of paths.values()) await serve(tool, path);

  const rows: Row[] = [];
  const compare = (
    found: ReadonlyMap<string, readonly Exchanges[]>,
    what: string,
    unit: string,
    pick: (exchanges: Exchanges) => number,
    marks: Readonly<Record<string, Mark>> = {},
  ) => {
    const values = (name: string) => (found.get(name) ?? []).map(pick);
    for (const name of ["routed pair", "joined pair"]) {
      const mark = marks[name];
      rows.push(row({
        what,
        unit,
        ours: values("novanet"),
        peer: { name, values: values(name) },
        ...(mark === undefined ? {} : { mark }),
        ...(what === "new connections" ? { cause: EVENTS_CAUSE } : {}),
      }));
    }
  };
  const kinds = { tcp: "TCP", udp: "UDP" } as const;
  for (const [kind, label] of Object.entries(kinds)) {
    note(`${label} request and response`);
    const found = await measureAll(tool, paths, kind, rounds);
    compare(found, `${label} request/response, p50`, "µs", ({ p50Us }) => p50Us, {
      "routed pair": { of: "ratio", atMost: 0.9 },
    });
    compare(found, `${label} request/response, p99`, "µs", ({ p99Us }) => p99Us);
  }
  note("connections");
  const found = await measureAll(tool, paths, "connect", rounds);
  compare(found, "new connections", "/s", ({ perSecond }) => perSecond, {
    "routed pair": { of: "ratio", atLeast: 1.05 },
  });
  await withoutFlowEvents(novanet, async () => {
    const silent = await measureAll(tool, paths, "connect", rounds);
    compare(silent, "new connections, flow level off", "/s", ({ perSecond }) => perSecond);
  });
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
    "after the other (bench/native/request_response.c); the same three paths as for throughput. " +
    "Processors are kept from halting (bench/lib/awake.ts).",
  run,
};
