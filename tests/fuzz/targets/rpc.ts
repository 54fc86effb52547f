import { create, type DescMethod, type DescService, toBinary } from "@bufbuild/protobuf";
import { Health } from "../../../shared/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../shared/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionAlpha } from "../../../shared/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AgentExt, DataplaneExt } from "../../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { AgentControl, DataplaneControl } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { callMessages } from "../../../shared/rpc/call.ts";
import { Channel } from "../../../shared/rpc/channel.ts";
import { RpcCode, RpcError } from "../../../shared/rpc/errors.ts";
import { SeededRandom } from "../../../shared/testing/seeded_random.ts";
import { FuzzedDaemons } from "../daemons.ts";
import { randomMessage } from "../random_message.ts";
import { Fault, type FuzzTarget, must } from "../target.ts";

/** Every service, and where it is served. */
const SERVED: readonly (readonly [socket: string, services: readonly DescService[]])[] = [
  ["dataplane.sock", [DataplaneControl, DataplaneExt, Health, ServerReflection]],
  ["cni.sock", [AgentControl, AgentExt]],
  ["novanet.sock", [AgentControl, AgentExt, Health, ServerReflection, ReflectionAlpha]],
  ["ebpf-services.sock", [EBPFServices]],
];
/** Full names of what is fuzzed. */
export const FUZZED_SERVICES: ReadonlySet<string> = new Set(
  SERVED.flatMap(([, services]) => services.map(({ typeName }) => typeName)),
);
const METHODS: readonly { readonly socket: string; readonly method: DescMethod }[] = SERVED.flatMap(
  ([socket, services]) =>
    services.flatMap(({ methods }) => methods.map((method) => ({ socket, method }))),
);

/** In inputs, where a pod's network namespace stands; of the same length as {@linkcode podPath}. */
const POD_PATH = "/tmp/nvfuzz-00000000";
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
    POD_PATH,
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
const CALL_TIMEOUT_MS = 30_000;
/** Streams have no end of their own. */
const STREAM_MS = 30;
const STREAM_MESSAGES = 3;
const ALIVE_EVERY = 500;
/** Of the calls that a method would get if all got as many: with less it is as good as not fuzzed. */
const LEAST_SHARE = 0.2;

/** Codes that no request, however wrong, may be answered with. */
const FAULTS: ReadonlySet<RpcCode> = new Set([
  RpcCode.INTERNAL,
  RpcCode.UNKNOWN,
  RpcCode.DATA_LOSS,
  RpcCode.DEADLINE_EXCEEDED,
]);

const ATTACHMENT = { containerId: "0123456789abcdef", netns: POD_PATH, ifName: "eth0" };
const POD = { ...ATTACHMENT, podName: "web", podNamespace: "default" };
const ENTRY = {
  srcIdentity: 256,
  dstIdentity: 257,
  protocol: 6,
  dstPort: 80,
  action: 1,
  direction: 1,
};

/** Requests that are in order and have an effect, by the method's name. */
const GOOD: Readonly<Record<string, object>> = {
  AddPod: { ...POD, labels: { app: "web" } },
  DelPod: POD,
  CheckPod: POD,
  CapturePod: { name: "web", namespace: "default", snaplen: 64, maxPackets: 1n },
  CollectGarbage: { valid: [{ containerId: ATTACHMENT.containerId, ifName: "eth0" }] },
  AttachProgram: { interfaceName: "uplink", attachType: 1 },
  DetachProgram: { interfaceName: "uplink", attachType: 1 },
  UpsertEndpoint: { ip: 0x0af50001, mac: new Uint8Array(6), identityId: 300, nodeIp: 0xc0000263 },
  DeleteEndpoint: { ip: 0x0af50001 },
  UpsertPolicy: ENTRY,
  DeletePolicy: ENTRY,
  SyncPolicies: {
    policies: [ENTRY, { ...ENTRY, dstPort: 8080, portPrefixLen: 12, ruleId: 16 }],
    cidrIdentities: [{ cidrIp: 0x0a000000, prefixLen: 8, identityId: 1 << 24 }],
    ruleNames: { 16: "default/p:ingress[0]" },
  },
  PatchPolicies: { upserts: [ENTRY], deletes: [{ ...ENTRY, dstPort: 81 }] },
  UpdateConfig: { entries: { 5: 1n, 64: 3n, 65: 100n } },
};

function goodSeed({ input, name }: DescMethod, index: number): Uint8Array[] {
  const good = GOOD[name];
  if (good === undefined) return [];
  return [Uint8Array.of(index, ...toBinary(input, create(input, good as Record<string, unknown>)))];
}

function seeds(): Uint8Array[] {
  const random = new SeededRandom(20261121);
  return METHODS.flatMap(({ method }, index) => [
    Uint8Array.of(index),
    ...goodSeed(method, index),
    ...Array.from(
      { length: SEEDS_PER_METHOD },
      () => Uint8Array.of(index, ...randomMessage(method.input, random, TEXTS)),
    ),
  ]);
}

const podPath = () => `/tmp/nvfuzz-${Deno.pid.toString(16).padStart(8, "0")}`;

/** Puts the path of this run's pod where the corpus has another's. */
function withPodPath(input: Uint8Array): Uint8Array {
  const [from, to] = [POD_PATH, podPath()].map((text) => new TextEncoder().encode(text).toHex());
  return Uint8Array.fromHex(input.toHex().replaceAll(from!, to!));
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

/** How often each method was called. */
class CallCounts {
  readonly #counts = METHODS.map(() => 0);

  /** Counts a call of METHODS[index]. */
  count(index: number): void {
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** The method that was called least often. */
  least(): [name: string, calls: number] {
    const least = Math.min(...this.#counts);
    const { socket, method } = METHODS[this.#counts.indexOf(least)]!;
    return [`${method.parent.typeName}/${method.name} on ${socket}`, least];
  }
}

/** Every RPC of every service. */
export const rpc: FuzzTarget = {
  name: "rpc",
  what: "requests of every RPC on every socket of the compiled daemons",
  jobs: 4,
  limitMs: 40_000,
  tokens: TEXTS,
  seeds,
  async open() {
    await using building = new AsyncDisposableStack();
    const daemons = building.use(await FuzzedDaemons.start());
    const { node, lab } = daemons;
    await Deno.symlink((await lab.addNetns()).path, podPath());
    building.defer(() => Deno.remove(podPath()));
    const channels = new Map(SERVED.map(([socket]) => [
      socket,
      building.use(new Channel(node.socket(socket))),
    ]));
    const calls = new CallCounts();
    let inputs = 0;
    const built = building.move();
    return {
      async run(input: Uint8Array): Promise<string> {
        if (++inputs % ALIVE_EVERY === 0) await daemons.checkAlive();
        const index = (input[0] ?? 0) % METHODS.length;
        const { socket, method } = METHODS[index]!;
        calls.count(index);
        return await call(channels.get(socket)!, method, withPodPath(input.subarray(1)));
      },
      warm: () => daemons.markBaseline(),
      async check(): Promise<void> {
        const [name, least] = calls.least();
        const wanted = LEAST_SHARE * inputs / METHODS.length;
        must(least >= wanted, `${name} was called ${least} times only in ${inputs} calls`);
        for (const channel of channels.values()) channel[Symbol.dispose]();
        await daemons.checkAlive();
        await daemons.checkLeaks();
      },
      summary() {
        const [name, least] = calls.least();
        return `each of ${METHODS.length} methods called ${least} times (${name}) or more`;
      },
      [Symbol.asyncDispose]: () => built.disposeAsync(),
    };
  },
};
