import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Health } from "../../../shared/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../shared/gen/grpc/reflection/v1/reflection_pb.ts";
import { AgentExt, DataplaneExt } from "../../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { AgentControl, DataplaneControl } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { callMessages } from "../../../shared/rpc/call.ts";
import { Channel } from "../../../shared/rpc/channel.ts";
import { RpcCode, RpcError } from "../../../shared/rpc/errors.ts";
import { SeededRandom } from "../../../shared/testing/seeded_random.ts";
import { FuzzedDaemons } from "../daemons.ts";
import { randomMessage } from "../random_message.ts";
import { Fault, type FuzzTarget } from "../target.ts";

/** Every service, and where it is served. */
const SERVED: readonly (readonly [socket: string, services: readonly DescService[]])[] = [
  ["dataplane.sock", [DataplaneControl, DataplaneExt, Health, ServerReflection]],
  ["cni.sock", [AgentControl, AgentExt]],
  ["novanet.sock", [AgentControl, AgentExt, Health, ServerReflection]],
  ["ebpf-services.sock", [EBPFServices]],
];
const METHODS: readonly { readonly socket: string; readonly method: DescMethod }[] = SERVED.flatMap(
  ([socket, services]) =>
    services.flatMap(({ methods }) => methods.map((method) => ({ socket, method }))),
);

const POD_NETNS = "nvfuzz-pod";
const TEXTS = [
  "",
  "web",
  "default",
  "kube-system",
  "eth0",
  "eth1",
  "lo",
  "uplink",
  "nv000000000000",
]
  .concat([
    `/run/netns/${POD_NETNS}`,
    "/run/netns/none",
    "/proc/self/ns/net",
    "/",
    "../..",
    "10.244.0.9",
  ])
  .concat(["10.244.0.0/24", "ffff::1", "a".repeat(64), "0123456789abcdef".repeat(4), "novanet.v1"])
  .concat([
    "novanet.v1.DataplaneControl",
    "novanet/v1/novanet.proto",
    "\u0000",
    "ü",
    "a\nb",
    "%s%n",
  ]);
const SEEDS_PER_METHOD = 3;
const CALL_TIMEOUT_MS = 4000;
/** Streams have no end of their own. */
const STREAM_MS = 30;
const STREAM_MESSAGES = 3;
const ALIVE_EVERY = 500;
const WARM_INPUTS = 1500;

/** Codes that no request, however wrong, may be answered with. */
const FAULTS: ReadonlySet<RpcCode> = new Set([
  RpcCode.INTERNAL,
  RpcCode.UNKNOWN,
  RpcCode.DATA_LOSS,
  RpcCode.DEADLINE_EXCEEDED,
]);

function seeds(): Uint8Array[] {
  const random = new SeededRandom(20261121);
  return METHODS.flatMap(({ method }, index) => [
    Uint8Array.of(index),
    ...Array.from(
      { length: SEEDS_PER_METHOD },
      () => Uint8Array.of(index, ...randomMessage(method.input, random, TEXTS)),
    ),
  ]);
}

/** A request with any bytes. @returns how it ended */
async function call(channel: Channel, method: DescMethod, request: Uint8Array): Promise<string> {
  const path = `/${method.parent.typeName}/${method.name}`;
  const isUnary = method.methodKind === "unary";
  const stop = new AbortController();
  const timer = isUnary ? undefined : setTimeout(() => stop.abort(), STREAM_MS);
  let messages = 0;
  try {
    const options = {
      path,
      maxMessageBytes: 64 << 20,
      signal: stop.signal,
      ...isUnary ? { timeoutMs: CALL_TIMEOUT_MS } : {},
    };
    for await (const _ of callMessages(channel, request, options)) {
      if (++messages >= STREAM_MESSAGES) break;
    }
    return `${path} ${Math.min(messages, 1)}`;
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    if (FAULTS.has(error.code)) throw new Fault(`${path}: ${RpcCode[error.code]} ${error.message}`);
    const text = error.message.replaceAll(/"[^"]*"|\d+/g, "#").slice(0, 40);
    return `${path} ${RpcCode[error.code]} ${text}`;
  } finally {
    clearTimeout(timer);
  }
}

/** Every RPC of every service. */
export const rpc: FuzzTarget = {
  name: "rpc",
  what: "requests of every RPC on every socket of the compiled daemons",
  jobs: 4,
  limitMs: 10_000,
  tokens: TEXTS,
  seeds,
  async open() {
    await using building = new AsyncDisposableStack();
    const daemons = building.use(await FuzzedDaemons.start());
    const { node } = daemons;
    const channels = new Map(SERVED.map(([socket]) => [
      socket,
      building.use(new Channel(node.socket(socket))),
    ]));
    let inputs = 0;
    const built = building.move();
    return {
      async run(input: Uint8Array): Promise<string> {
        if (++inputs === WARM_INPUTS) daemons.markBaseline();
        if (inputs % ALIVE_EVERY === 0) await daemons.checkAlive();
        const { socket, method } = METHODS[(input[0] ?? 0) % METHODS.length]!;
        return await call(channels.get(socket)!, method, input.subarray(1));
      },
      async check(): Promise<void> {
        for (const channel of channels.values()) channel[Symbol.dispose]();
        await daemons.checkAlive();
        await daemons.checkLeaks();
      },
      [Symbol.asyncDispose]: () => built.disposeAsync(),
    };
  },
};
