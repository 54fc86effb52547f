import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "../shared/rpc/service.ts";
import { AgentExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  AgentControl,
  DropReason,
  FlowEventSchema,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../shared/net/ipv4.ts";
import { RpcServer } from "../shared/rpc/server.ts";
import type { FileSink, Io, Sink } from "./io.ts";
import { main } from "./run.ts";

/** Collects what is written. */
export class TestSink implements Sink {
  readonly columns: number | undefined;
  readonly chunks: Uint8Array[] = [];
  /** Called after each write; what it throws is what the write throws. */
  onWrite: ((text: string) => void) | undefined;

  constructor(columns?: number) {
    this.columns = columns;
  }

  // deno-lint-ignore require-await -- what onWrite throws must come as a rejection
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data.slice();
    this.chunks.push(bytes);
    this.onWrite?.(new TextDecoder().decode(bytes));
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.chunks.flatMap((chunk) => [...chunk]));
  }

  text(): string {
    return new TextDecoder().decode(this.bytes());
  }
}

/** Input and output without a terminal or process. */
export class TestIo implements Io {
  readonly stdout: TestSink;
  readonly stderr: TestSink;
  readonly interruption = new AbortController();
  readonly files = new Map<string, TestSink>();
  readonly env: Record<string, string> = {};
  sleeps = 0;

  /** @param columns of a terminal; none for a pipe. */
  constructor(columns?: number) {
    this.stdout = new TestSink(columns);
    this.stderr = new TestSink(columns);
  }

  getEnv(name: string): string | undefined {
    return this.env[name];
  }

  now(): Date {
    return new Date("2026-11-21T08:09:10.123Z");
  }

  interrupted(): AbortSignal {
    return this.interruption.signal;
  }

  createFile(path: string, replace: boolean): FileSink {
    if (this.files.has(path) && !replace) throw new Deno.errors.AlreadyExists(path);
    const sink = new TestSink();
    const before = this.files.get(path);
    this.files.set(path, sink);
    const dispose = () => {
      if (sink.chunks.length > 0) return;
      if (before === undefined) this.files.delete(path);
      else this.files.set(path, before);
    };
    return Object.assign(sink, { [Symbol.dispose]: dispose });
  }

  sleep(): Promise<void> {
    this.sleeps++;
    return Promise.resolve();
  }
}

/** What an agent of a test serves. */
export interface TestAgent {
  readonly control?: ServiceImpl<typeof AgentControl>;
  readonly ext?: ServiceImpl<typeof AgentExt>;
}

/** The first server loads the shim to check its peers, and it stays loaded. */
export const KEEPS_SHIM = { sanitizeResources: false } as const;

/** Serves an agent on a socket of its own while `act` runs. */
export async function withAgent(
  agent: TestAgent,
  act: (socketPath: string) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/run/novanet.sock`;
  const server = new RpcServer();
  server.add(AgentControl, { ...agent.control }).add(AgentExt, { ...agent.ext });
  await server.listenUnix(socketPath);
  try {
    await act(socketPath);
  } finally {
    await server.close(0);
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Runs novanetctl against an agent. @returns everything it wrote and its exit code. */
export async function ctl(agent: TestAgent, args: readonly string[], io = new TestIo()) {
  let exitCode = -1;
  await withAgent(agent, async (socketPath) => {
    exitCode = await main([...args, "--agent-socket", socketPath], io);
  });
  return { exitCode, stdout: io.stdout.text(), stderr: io.stderr.text(), io };
}

/** A flow event; what is not given is a web request from one pod to another that was allowed. */
export function flowEvent(init: MessageInitShape<typeof FlowEventSchema> = {}) {
  return create(FlowEventSchema, {
    srcIp: Ipv4.parse("10.244.0.5").value,
    dstIp: Ipv4.parse("10.244.0.6").value,
    srcIdentity: 300,
    dstIdentity: 301,
    protocol: 6,
    srcPort: 40000,
    dstPort: 8080,
    verdict: PolicyAction.ALLOW,
    bytes: 60n,
    packets: 1n,
    timestampNs: 5_000_000_000n,
    tcpFlags: 0x02,
    ruleId: 17,
    rule: "shop/web:ingress[0]",
    srcPod: "client-0",
    srcNamespace: "shop",
    dstPod: "web-0",
    dstNamespace: "shop",
    direction: PolicyDirection.EGRESS,
    eventType: FlowEventType.NEW,
    wallTimeUnixNs: 1_795_248_550_123_456_789n,
    ruleDirection: PolicyDirection.INGRESS,
    ...init,
  });
}

/** The same request, dropped by the default of an isolated pod. */
export function dropEvent(init: MessageInitShape<typeof FlowEventSchema> = {}) {
  return flowEvent({
    verdict: PolicyAction.DENY,
    dropReason: DropReason.POLICY_DENIED,
    rule: "shop/web:ingress[default-deny]",
    eventType: FlowEventType.DROP,
    ...init,
  });
}
