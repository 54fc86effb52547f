import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import { AgentError, callGrpc } from "./grpc_call.ts";

type Handler = (
  call: ServerUnaryCall<Buffer, Buffer>,
  answer: sendUnaryData<Buffer>,
) => void;

/** A grpc-js server with one method, as the agent's is. */
async function withServer(
  handler: Handler,
  act: (socketPath: string) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/agent.sock`;
  const same = (bytes: Buffer) => bytes;
  const server = new Server();
  const method = {
    path: "/test.Service/Call",
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService({ call: method }, { call: handler });
  await new Promise<void>((resolve, reject) => {
    const bound = (error: Error | null) => error === null ? resolve() : reject(error);
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), bound);
  });
  try {
    await act(socketPath);
  } finally {
    server.forceShutdown();
    Deno.removeSync(folder, { recursive: true });
  }
}

function call(socketPath: string, text = "ping", timeoutMs = 5000): Promise<Uint8Array> {
  const message = new TextEncoder().encode(text);
  return callGrpc({ socketPath, path: "/test.Service/Call", message, timeoutMs });
}

async function failure(promise: Promise<unknown>): Promise<AgentError> {
  const thrown = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(thrown instanceof AgentError, String(thrown));
  return thrown;
}

const SIZES = [0, 1, 70_000, 3_000_000];

for (const size of SIZES) {
  Deno.test(`${size} bytes go there and back`, async () => {
    const text = "x".repeat(size);
    await withServer(
      (request, answer) => answer(null, Buffer.concat([Buffer.from("re:"), request.request])),
      async (socketPath) => {
        const bytes = await call(socketPath, text);
        assert.equal(new TextDecoder().decode(bytes), `re:${text}`);
      },
    );
  });
}

Deno.test("what the agent says comes with its code and all its characters", async () => {
  const details = "Kein freier Platz für „web-0“: 100%\nzweite Zeile";
  await withServer(
    (_request, answer) => answer({ code: 8, details }),
    async (socketPath) => {
      const error = await failure(call(socketPath));
      assert.deepEqual([error.code, error.message], [8, details]);
    },
  );
});

Deno.test("the deadline reaches the agent and ends the wait", async () => {
  let deadline = 0;
  const before = Date.now();
  await withServer(
    (request) => deadline = Number(request.getDeadline()),
    async (socketPath) => {
      const error = await failure(call(socketPath, "ping", 150));
      assert.equal(error.code, 4);
      assert.ok(deadline >= before && deadline < before + 5000);
    },
  );
});

Deno.test("a method that does not exist is UNIMPLEMENTED", async () => {
  await withServer(
    (_request, answer) => answer(null, Buffer.alloc(0)),
    async (socketPath) => {
      const message = new Uint8Array();
      const path = "/test.Service/Other";
      const error = await failure(callGrpc({ socketPath, path, message, timeoutMs: 5000 }));
      assert.equal(error.code, 12);
    },
  );
});

Deno.test("no socket is UNAVAILABLE and names it", async () => {
  const error = await failure(call("/nonexistent/agent.sock"));
  assert.equal(error.code, 14);
  assert.match(error.message, /\/nonexistent\/agent\.sock/);
});

/** A listener that speaks no gRPC. */
async function withListener(
  act: (socket: net.Socket) => void,
  then: (socketPath: string) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/agent.sock`;
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    await then(socketPath);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    Deno.removeSync(folder, { recursive: true });
  }
}

const LISTENERS: readonly { name: string; act: (socket: net.Socket) => void; code: number }[] = [
  { name: "hangs up", act: (socket) => socket.destroy(), code: 14 },
  {
    name: "hangs up after the request",
    act: (socket) => socket.on("data", () => socket.destroy()),
    code: 14,
  },
  { name: "speaks HTTP/1", act: (socket) => socket.end("HTTP/1.1 400 Bad\r\n\r\n"), code: 14 },
  { name: "says nothing", act: (socket) => socket.resume(), code: 4 },
];

for (const { name, act, code } of LISTENERS) {
  Deno.test(`a listener that ${name} gives ${code}`, async () => {
    await withListener(act, async (socketPath) => {
      assert.equal((await failure(call(socketPath, "ping", 400))).code, code);
    });
  });
}

Deno.test("a stale socket is UNAVAILABLE", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const socketPath = `${folder}/agent.sock`;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `Deno.listen({transport:"unix",path:${JSON.stringify(socketPath)}});Deno.exit(0)`,
      ],
    });
    assert.ok((await child.output()).success);
    assert.ok(Deno.statSync(socketPath).isSocket);
    assert.equal((await failure(call(socketPath))).code, 14);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
