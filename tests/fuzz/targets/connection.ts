import { setImmediate } from "node:timers/promises";
import type { Serve } from "../../../shared/rpc/dispatch.ts";
import { toRpcError } from "../../../shared/rpc/errors.ts";
import { encodeMessage } from "../../../shared/rpc/framing.ts";
import {
  encodeFrame,
  Flag,
  FrameReader,
  FrameType,
  PREFACE,
  settingsPayload,
  words,
} from "../../../shared/rpc/http2/frame.ts";
import { encodeHeaders, type Header } from "../../../shared/rpc/http2/hpack.ts";
import { serveConnection } from "../../../shared/rpc/server_connection.ts";
import { type FuzzTarget, must } from "../target.ts";

const PIECE_BYTES = 37;
const MAX_ANSWER_BYTES = 32 << 20;
const MAX_MESSAGE_BYTES = 1 << 16;

/** How a request begins. */
export const HEADERS: readonly Header[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/fuzz.Echo/Echo"],
  [":authority", "localhost"],
  ["te", "trailers"],
  ["content-type", "application/grpc+proto"],
  ["grpc-timeout", "1S"],
];

/** One call on a stream, whole. */
export function callFrames(streamId: number, headers: readonly Header[], message: Uint8Array) {
  return [
    encodeFrame(FrameType.HEADERS, Flag.END_HEADERS, streamId, encodeHeaders(headers)),
    encodeFrame(FrameType.DATA, Flag.END_STREAM, streamId, encodeMessage(message)),
  ];
}

/** What a client of HTTP/2 may send after its preface: whole conversations. */
export function conversations(headers: readonly Header[], message: Uint8Array): Uint8Array[] {
  const settings = encodeFrame(FrameType.SETTINGS, 0, 0, settingsPayload([[3, 100], [4, 65535]]));
  const ack = encodeFrame(FrameType.SETTINGS, Flag.ACK, 0);
  const [head, data] = callFrames(1, headers, message);
  const block = encodeHeaders(headers);
  return [
    [settings],
    [settings, ack, head!, data!],
    [settings, ...callFrames(1, headers, message), ...callFrames(3, headers, message)],
    [settings, encodeFrame(FrameType.PING, 0, 0, new Uint8Array(8)), head!],
    [settings, head!, encodeFrame(FrameType.RST_STREAM, 0, 1, words(8)), data!],
    [settings, encodeFrame(FrameType.WINDOW_UPDATE, 0, 0, words(1)), head!, data!],
    [settings, head!, encodeFrame(FrameType.WINDOW_UPDATE, 0, 1, words(70_000)), data!],
    [settings, encodeFrame(FrameType.GOAWAY, 0, 0, words(0, 0)), head!, data!],
    [settings, encodeFrame(FrameType.PRIORITY, 0, 1, Uint8Array.of(0, 0, 0, 0, 16)), head!, data!],
    [settings, encodeFrame(FrameType.PUSH_PROMISE, 4, 1, words(2))],
    [
      settings,
      encodeFrame(FrameType.HEADERS, 0, 1, block.subarray(0, 10)),
      encodeFrame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block.subarray(10)),
      data!,
    ],
    [
      settings,
      encodeFrame(
        FrameType.HEADERS,
        Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY,
        1,
        Uint8Array.of(3, 0, 0, 0, 0, 16, ...block, 0, 0, 0),
      ),
      data!,
    ],
    [settings, encodeFrame(0x42 as FrameType, 0xff, 7, new Uint8Array(5)), head!, data!],
  ].map((frames) => Uint8Array.from(frames.flatMap((frame) => [...frame])));
}

const echo: Serve = async (call) => {
  try {
    for await (const bytes of call.requests(MAX_MESSAGE_BYTES)) await call.send(bytes);
    call.end();
  } catch (error) {
    call.end(toRpcError(error));
  }
};

/** A socket whose peer sends given bytes in small pieces, then hangs up. */
class Peer {
  readonly answer: Uint8Array[] = [];
  #rest: Uint8Array;
  #answerBytes = 0;

  constructor(bytes: Uint8Array) {
    this.#rest = bytes;
  }

  async read(into: Uint8Array): Promise<number | null> {
    // The connection's own work comes first, as with a real socket.
    await setImmediate();
    if (this.#rest.length === 0) return null;
    const part = this.#rest.subarray(0, PIECE_BYTES);
    this.#rest = this.#rest.subarray(part.length);
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.answer.push(bytes.slice());
    this.#answerBytes += bytes.length;
    must(this.#answerBytes < MAX_ANSWER_BYTES, "the answers have no end");
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.#rest = new Uint8Array();
  }
}

/** The server's side of HTTP/2 and gRPC, from bytes to calls. */
export const connection: FuzzTarget = {
  name: "connection",
  what: "frames of HTTP/2 to the server's connection, in-process",
  seeds: () =>
    conversations(HEADERS, new TextEncoder().encode("hello")).flatMap((bytes) => [
      Uint8Array.of(...PREFACE, ...bytes),
    ]),
  tokens: [PREFACE, Uint8Array.of(0, 0, 8, 6, 0, 0, 0, 0, 0), words(0x7fffffff)],
  open: () =>
    Promise.resolve({
      async run(input: Uint8Array): Promise<string> {
        const peer = new Peer(input);
        const served = serveConnection(peer, {
          maxCalls: 4,
          serveOf: (path) => path === "/fuzz.Echo/Echo" ? echo : undefined,
        });
        const reason = await served.closed;
        must(served.streams === 0, `${served.streams} streams are left`);
        const kinds = new Set<number>();
        const reader = new FrameReader(new Uint8Array());
        for (const bytes of peer.answer) {
          for (const frame of reader.push(bytes)) kinds.add(frame.type);
        }
        return `${reason?.message.replaceAll(/\d+/g, "#")}: ${[...kinds].sort().join()}`;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};
