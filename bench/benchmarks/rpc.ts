import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from "../../shared/gen/grpc/health/v1/health_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { alternate } from "../lib/alternate.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";
import { startToServing } from "../lib/daemons.ts";
import { HEALTH_CHECK } from "../peers/health_check.ts";

const MEASURE_MS = 1_000;
const AT_ONCE = [1, 50] as const;
const SERVING = HealthCheckResponse_ServingStatus.SERVING;

/** One unary call; gives the status that it answered. */
type Call = () => Promise<number>;

/** Calls per second, so many at once. */
async function perSecond(call: Call, atOnce: number): Promise<number> {
  const started = performance.now();
  let done = 0;
  const caller = async () => {
    while (performance.now() - started < MEASURE_MS) {
      if (await call() !== SERVING) throw new Error("the server does not serve");
      done++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return done / ((performance.now() - started) / 1000);
}

/** grpc-js on this end. */
function grpcJsCall(socket: string, stack: DisposableStack): Call {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  stack.defer(() => client.close());
  const { path, requestSerialize, responseDeserialize } = HEALTH_CHECK;
  return () =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { service: "" },
        (error, answer) => error === null ? resolve(answer?.status ?? 0) : reject(error),
      );
    });
}

/** shared/rpc on this end. */
function ourCall(socketPath: string, stack: DisposableStack): Call {
  const client = stack.use(createRpcClient(Health, { socketPath }));
  return async () => (await client.check({ service: "" })).status;
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const node = await LabNode.create(lab);
  await startToServing(node);
  const peerSocket = join(node.dir, "grpc-js.sock");
  const server = lab.start([
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-check",
    "-A",
    join(import.meta.dirname ?? ".", "..", "peers", "grpc_js_server.ts"),
    peerSocket,
  ]);
  await eventually(() => {
    if (server.exited) throw new Error(server.stderr);
    return server.stdout.includes("ready");
  }, { timeoutMs: 15_000, what: "the grpc-js server" });

  using stack = new DisposableStack();
  const socket = node.socket("dataplane.sock");
  const calls = {
    ours: ourCall(socket, stack),
    mixed: grpcJsCall(socket, stack),
    bare: grpcJsCall(peerSocket, stack),
  };
  const rows: Row[] = [];
  for (const atOnce of AT_ONCE) {
    note(`${atOnce} at once`);
    // Compiled code counts, not its compilation.
    for (const call of Object.values(calls)) await perSecond(call, atOnce);
    const values = await alternate(rounds, {
      ours: () => perSecond(calls.ours, atOnce),
      mixed: () => perSecond(calls.mixed, atOnce),
      bare: () => perSecond(calls.bare, atOnce),
    });
    const peer = { name: "grpc-js on both ends", values: values.bare };
    const mark = { of: "ratio", atLeast: 0.9 } as const;
    const what = `unary calls, ${atOnce} at once`;
    rows.push(
      row({ what: `${what}, our client and server`, unit: "/s", ours: values.ours, peer, mark }),
      row({
        what: `${what}, grpc-js client, our server`,
        unit: "/s",
        ours: values.mixed,
        peer,
        mark,
      }),
    );
  }
  return rows;
}

/** How many calls the daemons answer. */
export const rpc: Benchmark = {
  name: "rpc",
  title: "Unary RPCs",
  method:
    "grpc.health.v1.Health/Check over a unix socket, served by the compiled novanet-dataplane and by a process that has nothing but grpc-js; client and server " +
    "share the machine.",
  run,
};
