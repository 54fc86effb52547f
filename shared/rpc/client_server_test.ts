import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { once } from "node:events";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { eventually } from "../testing/eventually.ts";
import { AgentExt, CapturedPacketSchema, DataplaneExt } from "../gen/novanet/ext/v1/ext_pb.ts";
import { createRpcClient } from "./client.ts";
import { EncodedMessages } from "./encoded_messages.ts";
import {
  failedPrecondition,
  internal,
  invalidArgument,
  notFound,
  resourceExhausted,
  RpcCode,
  RpcError,
  unavailable,
} from "./errors.ts";
import { encodeMessage } from "./framing.ts";
import type { CallRecord } from "./server.ts";
import { leaveSocket, RpcLab } from "./testing.ts";

function rejects(call: Promise<unknown>, code: RpcCode, message?: RegExp): Promise<void> {
  return assert.rejects(call, (error) => {
    assert(error instanceof RpcError, String(error));
    assert.equal(RpcCode[error.code], RpcCode[code], error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** Waits until the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

Deno.test("a unary call carries its request and its answer", async () => {
  await using lab = await RpcLab.start({ collectGarbage: ({ valid }) => ({ removed: valid }) });
  const answer = await lab.client().collectGarbage({
    valid: [{ containerId: "c1", ifName: "eth0" }],
  });
  assert.deepEqual(answer.removed.map((one) => [one.containerId, one.ifName]), [["c1", "eth0"]]);
});

Deno.test("10,000 calls, 50 at once, all get their own answer", async () => {
  await using lab = await RpcLab.start({ listPods: () => ({}), checkPod: () => ({}) });
  const calls: CallRecord[] = [];
  await using echo = await RpcLab.start({
    collectGarbage: ({ valid }) => ({ removed: valid }),
  }, { onCall: (record) => calls.push(record) });
  const client = echo.client();
  let next = 0;
  const worker = async () => {
    while (next < 10_000) {
      const containerId = `c${next++}`;
      const { removed } = await client.collectGarbage({ valid: [{ containerId }] });
      assert.equal(removed[0]?.containerId, containerId);
    }
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  assert.equal(calls.length, 10_000);
  assert(calls.every(({ code, method }) => code === RpcCode.OK && method === "CollectGarbage"));
  await lab.client().listPods({});
});

const FAILURES: readonly [string, unknown, RpcCode, RegExp][] = [
  ["invalidArgument", invalidArgument("ip", 0, "must be set"), RpcCode.INVALID_ARGUMENT, /^ip 0:/],
  ["notFound", notFound(`pod "a/b"`), RpcCode.NOT_FOUND, /pod "a\/b" not found/],
  ["failedPrecondition", failedPrecondition("no"), RpcCode.FAILED_PRECONDITION, /^no$/],
  ["resourceExhausted", resourceExhausted("full"), RpcCode.RESOURCE_EXHAUSTED, /^full$/],
  ["unavailable", unavailable("later"), RpcCode.UNAVAILABLE, /^later$/],
  ["internal", internal("bug"), RpcCode.INTERNAL, /^bug$/],
  ["any error", new TypeError("bug"), RpcCode.INTERNAL, /^bug$/],
  ["no error at all", "bug", RpcCode.INTERNAL, /^bug$/],
  [
    "an error with a code of its own",
    Object.assign(new Error("own"), { rpcCode: 9 }),
    RpcCode.FAILED_PRECONDITION,
    /^own$/,
  ],
  [
    "text that headers can't carry",
    notFound("ü \n % %zz 💥"),
    RpcCode.NOT_FOUND,
    /^ü \n % %zz 💥 /,
  ],
  ["half a surrogate pair", notFound("\ud800"), RpcCode.NOT_FOUND, /^\ufffd /],
  ["very long text", notFound("x".repeat(1 << 20)), RpcCode.NOT_FOUND, /^x{4096}$/],
];

for (const [name, thrown, code, message] of FAILURES) {
  Deno.test(`a handler's error reaches the client, unary and stream: ${name}`, async () => {
    await using lab = await RpcLab.start({
      checkPod() {
        throw thrown;
      },
      async *capturePod() {
        for (let at = 0; at < 100; at++) yield { originalLen: at };
        throw thrown;
      },
      // deno-lint-ignore require-yield
      async *getSysdump() {
        throw thrown;
      },
    });
    const client = lab.client();
    await rejects(client.checkPod({}), code, message);
    const received: number[] = [];
    const read = async () => {
      for await (const packet of client.capturePod({})) received.push(packet.originalLen);
    };
    await rejects(read(), code, message);
    assert.deepEqual(received, Array.from({ length: 100 }, (_, at) => at));
    await rejects(collect(client.getSysdump({})), code, message);
  });
}

Deno.test("a method without a handler and a service that is not there are UNIMPLEMENTED", async () => {
  await using lab = await RpcLab.start({});
  const client = lab.client();
  await rejects(client.checkPod({}), RpcCode.UNIMPLEMENTED);
  await rejects(collect(client.capturePod({})), RpcCode.UNIMPLEMENTED);
  using other = createRpcClient(DataplaneExt, { socketPath: lab.socketPath });
  await rejects(other.listEndpoints({}), RpcCode.UNIMPLEMENTED);
});

Deno.test("a deadline ends the call on both sides", async () => {
  const ended = Promise.withResolvers<void>();
  await using lab = await RpcLab.start({
    async checkPod(_, { signal }) {
      await aborted(signal);
      ended.resolve();
      return {};
    },
  });
  const client = lab.client({ timeoutMs: 60 });
  const started = performance.now();
  await rejects(client.checkPod({}), RpcCode.DEADLINE_EXCEEDED);
  assert(performance.now() - started < 1000);
  await rejects(client.checkPod({}, { timeoutMs: 30 }), RpcCode.DEADLINE_EXCEEDED, /30 ms/);
  await ended.promise;
});

Deno.test("a signal cancels a call on both sides, before it and during it", async () => {
  const ended = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using lab = await RpcLab.start({
    async checkPod(_, { signal }) {
      begun.resolve();
      await aborted(signal);
      ended.resolve();
      return {};
    },
    listPods: () => ({}),
  });
  const client = lab.client();
  await rejects(client.checkPod({}, { signal: AbortSignal.abort() }), RpcCode.CANCELLED);
  const abort = new AbortController();
  const call = rejects(client.checkPod({}, { signal: abort.signal }), RpcCode.CANCELLED);
  await begun.promise;
  abort.abort();
  await call;
  await ended.promise;
  await client.listPods({});
});

Deno.test("a stream gives every message in order, and its end", async () => {
  await using lab = await RpcLab.start({
    async *capturePod({ maxPackets }) {
      for (let at = 0n; at < maxPackets; at++) yield { timestampNs: at };
    },
  });
  const packets = await collect(lab.client().capturePod({ maxPackets: 20_000n }));
  assert.equal(packets.length, 20_000);
  assert(packets.every((packet, at) => packet.timestampNs === BigInt(at)));
  assert.deepEqual(await collect(lab.client().capturePod({})), []);
});

Deno.test("a slow reader holds the source back", async () => {
  let made = 0;
  const data = new Uint8Array(64 << 10);
  await using lab = await RpcLab.start({
    async *capturePod() {
      for (;;) {
        made++;
        yield { data };
      }
    },
  });
  const packets = lab.client().capturePod({})[Symbol.asyncIterator]();
  await packets.next();
  // Until the source stands still, which without backpressure it never does.
  let before = -1;
  await eventually(() => {
    const still = made === before;
    before = made;
    return still;
  }, { intervalMs: 100 });
  assert(made < 200, `${made} messages of 64 KiB were made for a reader that took one`);
  const stood = made;
  for (let read = 0; read < 400; read++) await packets.next();
  assert(made > stood);
  await packets.return?.();
});

Deno.test("a cancelled stream stops its source, and other calls go on", async () => {
  const stopped: string[] = [];
  await using lab = await RpcLab.start({
    async *capturePod({ name }) {
      try {
        for (;;) yield { data: new Uint8Array(1000) };
      } finally {
        stopped.push(name);
      }
    },
    async *getSysdump(_, { signal }) {
      yield { name: "first" };
      await aborted(signal);
      stopped.push("silent");
    },
    listPods: () => ({}),
  });
  const client = lab.client();
  for (let round = 0; round < 20; round++) {
    for await (const _ of client.capturePod({ name: "broken off" })) break;
    await client.listPods({});
  }
  const abort = new AbortController();
  const silent = async () => {
    for await (const _ of client.getSysdump({}, { signal: abort.signal })) abort.abort();
  };
  await rejects(silent(), RpcCode.CANCELLED);
  await eventually(() => stopped.length === 21);
  assert.equal(stopped.filter((name) => name === "silent").length, 1);
});

Deno.test("messages of 60 MiB pass both ways, longer than the limit are refused", async () => {
  await using lab = await RpcLab.start({
    async *capturePod({ maxPackets }) {
      yield { data: new Uint8Array(Number(maxPackets)).fill(7) };
    },
    checkPod: ({ mac }) => {
      assert.equal(mac.length, 60 << 20);
      return {};
    },
  });
  const client = lab.client();
  const [packet] = await collect(client.capturePod({ maxPackets: BigInt(60 << 20) }));
  assert.equal(packet?.data.length, 60 << 20);
  assert(packet.data.every((byte) => byte === 7));
  await client.checkPod({ mac: "x".repeat(60 << 20) }, { timeoutMs: 30_000 });
  await rejects(
    client.checkPod({ mac: "x".repeat(65 << 20) }, { timeoutMs: 30_000 }),
    RpcCode.RESOURCE_EXHAUSTED,
  );
  await rejects(
    collect(client.capturePod({ maxPackets: BigInt(65 << 20) })),
    RpcCode.RESOURCE_EXHAUSTED,
  );
  await rejects(
    collect(lab.client({ maxMessageBytes: 1000 }).capturePod({ maxPackets: 2000n })),
    RpcCode.RESOURCE_EXHAUSTED,
  );
});

Deno.test("no server and a dead server's socket are UNAVAILABLE at once", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    using none = createRpcClient(DataplaneExt, { socketPath: `${folder}/none.sock` });
    await rejects(none.listEndpoints({}), RpcCode.UNAVAILABLE, /none.sock.*No such file/);
    await leaveSocket(`${folder}/dead.sock`);
    using dead = createRpcClient(DataplaneExt, { socketPath: `${folder}/dead.sock` });
    await rejects(dead.listEndpoints({}), RpcCode.UNAVAILABLE, /dead.sock.*refused/);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = "\0\0\0\x04\0\0\0\0\0";
const GARBAGE: readonly [string, string][] = [
  ["HTTP/1.1", "GET / HTTP/1.1\r\n\r\n"],
  ["zeros", "\0".repeat(100_000)],
  ["a preface that goes wrong", "PRI * HTTP/2.0\r\n\r\nXX"],
  ["a preface without settings", PREFACE + "\xff".repeat(50_000)],
  ["headers that are none", `${PREFACE}${SETTINGS}\0\0\x08\x01\x05\0\0\0\x01garbage!`],
  ["data of no stream", `${PREFACE}${SETTINGS}\0\x04\0\0\0\0\0\0\x01${"x".repeat(1024)}`],
  ["a frame that is too long", `${PREFACE}${SETTINGS}\xff\xff\xff\0\0\0\0\0\x01`],
];

for (const [name, garbage] of GARBAGE) {
  Deno.test(`bytes that are no HTTP/2 end their connection and nothing else: ${name}`, async () => {
    await using lab = await RpcLab.start({ listPods: () => ({}) });
    const client = lab.client();
    await client.listPods({});
    const socket = connect(lab.socketPath);
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("error", () => {});
    socket.resume();
    socket.write(garbage, "latin1");
    await closed;
    await client.listPods({});
  });
}

/** Frames of gRPC that are not as they must be, sent by node:http2 itself. */
const BAD_CALLS: readonly [string, Record<string, string>, Uint8Array, string][] = [
  ["no request", {}, new Uint8Array(), "3"],
  ["half a frame header", {}, Uint8Array.of(0, 0, 0), "13"],
  ["half a message", {}, Uint8Array.of(0, 0, 0, 0, 9, 1), "13"],
  ["two requests", {}, new Uint8Array(10), "3"],
  ["a compressed request", {}, Uint8Array.of(1, 0, 0, 0, 0), "12"],
  ["a request that is no protobuf", {}, Uint8Array.of(0, 0, 0, 0, 1, 0xff), "3"],
  ["a length above the limit", {}, Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff), "8"],
  ["an unknown method", { ":path": "/novanet.ext.v1.AgentExt/None" }, new Uint8Array(5), "12"],
  ["a path that is none", { ":path": "/" }, new Uint8Array(5), "12"],
  ["another content type", { "content-type": "text/plain" }, new Uint8Array(5), "HTTP 415"],
  ["another HTTP method", { ":method": "GET" }, new Uint8Array(), "HTTP 405"],
];

for (const [name, headers, body, expected] of BAD_CALLS) {
  Deno.test(`a bad call is answered: ${name}`, async () => {
    await using lab = await RpcLab.start({ listPods: () => ({}) });
    const session = connectHttp2("http://localhost", {
      createConnection: () => connect(lab.socketPath),
    });
    const stream = session.request({
      ":method": "POST",
      ":path": "/novanet.ext.v1.AgentExt/ListPods",
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    }, { endStream: false });
    const [answer] = await Promise.all([once(stream, "response"), stream.end(body)]);
    const { ":status": http, "grpc-status": status } = answer[0];
    assert.equal(http === 200 ? status : `HTTP ${http}`, expected);
    session.destroy();
    await once(session, "close");
  });
}

Deno.test("a client of something that is no gRPC server gets an error", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/odd.sock`;
  const listener = Deno.listen({ transport: "unix", path });
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.write(new TextEncoder().encode("220 hello, this is mail\r\n"));
      connection.close();
    }
  })();
  try {
    using client = createRpcClient(DataplaneExt, { socketPath: path, timeoutMs: 3000 });
    await rejects(client.listEndpoints({}), RpcCode.UNAVAILABLE);
  } finally {
    listener.close();
    await serving;
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a handler's encoded messages are the stream's messages, and batches hold all of them", async () => {
  const encoded = (originalLen: number) =>
    encodeMessage(toBinary(CapturedPacketSchema, create(CapturedPacketSchema, { originalLen })));
  await using lab = await RpcLab.start({
    async *capturePod() {
      yield { originalLen: 1 };
      const many = Array.from({ length: 5000 }, (_, index) => [...encoded(index + 2)]);
      yield new EncodedMessages(Uint8Array.from(many.flat()));
      yield { originalLen: 5002 };
    },
  });
  const wanted = Array.from({ length: 5002 }, (_, index) => index + 1);
  const packets = await collect(lab.client().capturePod({}));
  assert.deepEqual(packets.map(({ originalLen }) => originalLen), wanted);
  const batches = await collect(lab.client().batches(AgentExt.method.capturePod, {}));
  assert(batches.length < 100, `${batches.length} batches`);
  const lengths = batches.flat().map((bytes) =>
    fromBinary(CapturedPacketSchema, bytes).originalLen
  );
  assert.deepEqual(lengths, wanted);
});
