import { FrameReader, FrameType, PREFACE, wordAt } from "../../../shared/rpc/http2/frame.ts";
import { FuzzedDaemons } from "../daemons.ts";
import type { FuzzTarget } from "../target.ts";
import { conversations, HEADERS } from "./connection.ts";

const SOCKETS = ["dataplane.sock", "cni.sock", "novanet.sock", "ebpf-services.sock"];
/** Of an input, before what is sent: which socket, and how. */
const HEAD_BYTES = 1;
const WITHOUT_PREFACE = 0x10;
const HALF_CLOSED = 0x20;
/** A peer that neither asks nor hangs up is not waited for longer. */
const QUIET_MS = 25;
const ALIVE_EVERY = 200;
const READ_BYTES = 65_536;

const PATHS = [
  "/grpc.health.v1.Health/Check",
  "/novanet.v1.AgentControl/GetAgentStatus",
  "/novanet.v1.DataplaneControl/GetDataplaneStatus",
  "/novanet.v1.AgentControl/StreamAgentFlows",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

function seeds(): Uint8Array[] {
  return PATHS.flatMap((path, index) => {
    const headers = HEADERS.map(([name, value]) =>
      [name, name === ":path" ? path : value] as const
    );
    return conversations(headers, new Uint8Array())
      .map((bytes) => Uint8Array.of(index % SOCKETS.length, ...bytes));
  });
}

/** Says the bytes and listens. @returns kinds of frames that came, and why the server hung up */
async function converse(path: string, bytes: Uint8Array, halfClosed: boolean): Promise<string> {
  using peer = await Deno.connect({ transport: "unix", path });
  const kinds = new Set<string>();
  const reader = new FrameReader(new Uint8Array());
  const buffer = new Uint8Array(READ_BYTES);
  const listening = (async () => {
    for (let n = await peer.read(buffer); n !== null; n = await peer.read(buffer)) {
      for (const { type, payload } of reader.push(buffer.slice(0, n))) {
        const why = type === FrameType.GOAWAY ? ` ${wordAt(payload, 4)}` : "";
        kinds.add(`${FrameType[type]}${why}`);
      }
    }
    return "closed";
  })().catch(() => "reset");
  let timer: ReturnType<typeof setTimeout> | undefined;
  const quiet = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve("open"), QUIET_MS);
  });
  try {
    for (let at = 0; at < bytes.length;) at += await peer.write(bytes.subarray(at));
    if (halfClosed) await peer.closeWrite();
  } catch {
    // The server has heard enough.
  }
  const end = await Promise.race([listening, quiet]);
  clearTimeout(timer);
  return `${[...kinds].sort().join()} ${end}`;
}

/** HTTP/2 as the compiled daemons meet it. */
export const socket: FuzzTarget = {
  name: "socket",
  what: "frames of HTTP/2, and garbage, to the sockets of the compiled daemons",
  jobs: 4,
  tokens: [PREFACE, Uint8Array.of(0, 0, 8, 6, 0, 0, 0, 0, 0), Uint8Array.of(0, 0, 4, 8, 0)],
  seeds,
  async open() {
    const daemons = await FuzzedDaemons.start();
    let inputs = 0;
    return {
      async run(input: Uint8Array): Promise<string> {
        if (++inputs % ALIVE_EVERY === 0) await daemons.checkAlive();
        const head = input[0] ?? 0;
        const name = SOCKETS[head % SOCKETS.length]!;
        const rest = input.subarray(HEAD_BYTES);
        const bytes = head & WITHOUT_PREFACE ? rest : Uint8Array.of(...PREFACE, ...rest);
        return await converse(daemons.node.socket(name), bytes, (head & HALF_CLOSED) !== 0);
      },
      warm: () => daemons.markBaseline(),
      async check(): Promise<void> {
        await daemons.checkAlive();
        await daemons.checkLeaks();
      },
      [Symbol.asyncDispose]: () => daemons[Symbol.asyncDispose](),
    };
  },
};
