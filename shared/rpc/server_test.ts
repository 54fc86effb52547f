import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { AgentExt, CheckPodRequestSchema } from "../gen/novanet/ext/v1/ext_pb.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../gen/grpc/health/v1/health_pb.ts";
import { eventually } from "../testing/eventually.ts";
import { createRpcClient } from "./client.ts";
import { RpcCode, RpcError } from "./errors.ts";
import { ListenError, rawUnary, RpcServer } from "./server.ts";
import { ANY_PEER, leaveSocket, RpcLab } from "./testing.ts";

function code(expected: RpcCode): (error: unknown) => boolean {
  return (error) => error instanceof RpcError && error.code === expected;
}

Deno.test("the socket is 0600 in a folder of 0750, and goes when the server closes", async () => {
  const lab = await RpcLab.start({});
  assert.equal((Deno.statSync(lab.socketPath).mode ?? 0) & 0o777, 0o600);
  assert.equal((Deno.statSync(`${lab.folder}/run`).mode ?? 0) & 0o777, 0o750);
  await lab.server.close(0);
  assert.throws(() => Deno.statSync(lab.socketPath), Deno.errors.NotFound);
  await lab[Symbol.asyncDispose]();
});

Deno.test("a dead server's socket is replaced", async () => {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/s.sock`;
  await leaveSocket(socketPath);
  const server = new RpcServer(ANY_PEER).add(AgentExt, { listPods: () => ({}) });
  await server.listenUnix(socketPath);
  using client = createRpcClient(AgentExt, { socketPath });
  await client.listPods({});
  await server.close(0);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a living server's socket is not touched", async () => {
  await using lab = await RpcLab.start({ listPods: () => ({}) });
  const second = new RpcServer(ANY_PEER);
  await assert.rejects(second.listenUnix(lab.socketPath), (error) => {
    assert(error instanceof ListenError);
    assert.equal(error.socketPath, lab.socketPath);
    assert.match(error.message, /another server serves it/);
    return true;
  });
  await second.close(0);
  await lab.client().listPods({});
});

Deno.test("a file that is no socket is not touched", async () => {
  const path = Deno.makeTempFileSync();
  await assert.rejects(new RpcServer(ANY_PEER).listenUnix(path), /is no socket/);
  assert(Deno.statSync(path).isFile);
  Deno.removeSync(path);
});

Deno.test("a path that is too long is an error", async () => {
  const folder = Deno.makeTempDirSync();
  await assert.rejects(
    new RpcServer(ANY_PEER).listenUnix(`${folder}/${"x".repeat(200)}.sock`),
    ListenError,
  );
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a client finds a restarted server at once", async () => {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/s.sock`;
  using client = createRpcClient(AgentExt, { socketPath });
  for (let round = 0; round < 20; round++) {
    await assert.rejects(client.listPods({}), code(RpcCode.UNAVAILABLE));
    const server = new RpcServer(ANY_PEER).add(AgentExt, { listPods: () => ({}) });
    await server.listenUnix(socketPath);
    await client.listPods({});
    await server.close(1000);
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("one server listens on several sockets", async () => {
  await using lab = await RpcLab.start({ listPods: () => ({}) });
  const socketPath = `${lab.folder}/second.sock`;
  await lab.server.listenUnix(socketPath);
  using client = createRpcClient(AgentExt, { socketPath });
  await client.listPods({});
  await lab.client().listPods({});
});

Deno.test("connections above the limit are closed, the others go on", async () => {
  await using lab = await RpcLab.start({ listPods: () => ({}) }, { maxConnections: 3 });
  const client = lab.client();
  await client.listPods({});
  const held = [connect(lab.socketPath), connect(lab.socketPath)];
  await Promise.all(held.map((socket) => once(socket, "connect")));
  const extra = connect(lab.socketPath).on("error", () => {}).resume();
  await once(extra, "close");
  await assert.rejects(lab.client().listPods({}), code(RpcCode.UNAVAILABLE));
  await client.listPods({});
  for (const socket of held) socket.destroy();
  await eventually(() => lab.client().listPods({}));
});

Deno.test("calls above the limit of a connection wait for their turn", async () => {
  let running = 0;
  let most = 0;
  await using lab = await RpcLab.start({
    async listPods() {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return {};
    },
  }, { maxCallsPerConnection: 4 });
  const client = lab.client();
  await client.listPods({});
  await Promise.all(Array.from({ length: 40 }, () => client.listPods({})));
  assert.equal(most, 4);
});

Deno.test("a handler may take a request as it came, and decode it or not", async () => {
  const seen: string[] = [];
  await using lab = await RpcLab.start({
    checkPod: rawUnary(({ bytes, decode }) => {
      seen.push(bytes.toHex());
      if (bytes.length > 3) decode();
      return {};
    }),
  });
  const encoders = new Map([[CheckPodRequestSchema, () => Uint8Array.of(0xa, 9, 1, 1)]]);
  await lab.client().checkPod({ containerId: "x" });
  await assert.rejects(
    lab.client({ encoders }).checkPod({ containerId: "x" }),
    code(RpcCode.INVALID_ARGUMENT),
  );
  assert.deepEqual(seen, ["0a0178", "0a090101"]);
});

Deno.test("an encoder that leaves a request is passed over; streams cannot be had raw", async () => {
  await using lab = await RpcLab.start({
    checkPod: ({ containerId }) => {
      assert.equal(containerId, "x");
      return {};
    },
  });
  const encoders = new Map([[CheckPodRequestSchema, () => undefined]]);
  await lab.client({ encoders }).checkPod({ containerId: "x" });
  const raw = { capturePod: rawUnary(() => ({})) } as object;
  assert.throws(() => new RpcServer(ANY_PEER).add(AgentExt, raw), /CapturePod.*not unary/);
});

Deno.test("a peer that the check refuses is never served", async () => {
  let calls = 0;
  let strangers = 1;
  await using lab = await RpcLab.start({
    listPods() {
      calls++;
      return {};
    },
  }, { checkPeers: () => strangers });
  const client = lab.client();
  await assert.rejects(client.listPods({}), code(RpcCode.UNAVAILABLE));
  assert.equal(calls, 0);
  strangers = 0;
  await client.listPods({});
});

Deno.test("closing ends streams, lets unary calls finish, and takes no more", async () => {
  const finish = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using lab = await RpcLab.start({
    async listPods() {
      begun.resolve();
      await finish.promise;
      return { pods: [{ name: "last" }] };
    },
    async *capturePod(_, { signal }) {
      yield {};
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
  const call = lab.client().listPods({});
  const stream = lab.client().capturePod({})[Symbol.asyncIterator]();
  await stream.next();
  await begun.promise;
  const closed = lab.server.close(10_000);
  await assert.rejects(stream.next(), code(RpcCode.UNAVAILABLE));
  await assert.rejects(lab.client().listPods({}), code(RpcCode.UNAVAILABLE));
  finish.resolve();
  assert.equal((await call).pods[0]?.name, "last");
  await closed;
});

Deno.test("closing cuts off what does not finish in time", async () => {
  const begun = Promise.withResolvers<void>();
  await using lab = await RpcLab.start({
    listPods() {
      begun.resolve();
      return new Promise(() => {});
    },
  });
  const call = assert.rejects(lab.client().listPods({}), code(RpcCode.UNAVAILABLE));
  await begun.promise;
  const started = performance.now();
  await lab.server.close(50);
  await call;
  assert(performance.now() - started < 1000);
});

Deno.test("a server that is killed leaves no call hanging", async () => {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/s.sock`;
  const script = `
    import { RpcServer } from ${JSON.stringify(import.meta.resolve("./server.ts"))};
    import { AgentExt, CheckPodRequestSchema } from ${
    JSON.stringify(import.meta.resolve("../gen/novanet/ext/v1/ext_pb.ts"))
  };
    const server = new RpcServer({ checkPeers: () => 0 }).add(AgentExt, {
      listPods: () => new Promise(() => {}),
      async *capturePod() { yield {}; await new Promise(() => {}); },
      checkPod: () => ({}),
    });
    await server.listenUnix(${JSON.stringify(socketPath)});`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "-"],
    cwd: import.meta.dirname!,
    stdin: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(script));
  await input.close();
  using client = createRpcClient(AgentExt, { socketPath, timeoutMs: 30_000 });
  await eventually(() => client.checkPod({}), { timeoutMs: 10_000 });
  const call = assert.rejects(client.listPods({}), code(RpcCode.UNAVAILABLE));
  const stream = client.capturePod({})[Symbol.asyncIterator]();
  await stream.next();
  const next = assert.rejects(stream.next(), code(RpcCode.UNAVAILABLE));
  child.kill("SIGKILL");
  await Promise.all([call, next, child.status]);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("health tells the state of each service and its changes", async () => {
  await using lab = await RpcLab.start({});
  using health = createRpcClient(Health, { socketPath: lab.socketPath });
  const service = AgentExt.typeName;
  assert.equal((await health.check({ service })).status, Status.SERVING);
  assert.equal((await health.check({})).status, Status.SERVING);
  await assert.rejects(health.check({ service: "none" }), code(RpcCode.NOT_FOUND));
  const { statuses } = await health.list({});
  assert.deepEqual(Object.keys(statuses).sort(), [
    "",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    service,
  ]);
  const unknown = health.watch({ service: "none" })[Symbol.asyncIterator]();
  assert.equal((await unknown.next()).value?.status, Status.SERVICE_UNKNOWN);
  await unknown.return?.();
  const watch = health.watch({ service })[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value?.status, Status.SERVING);
  lab.server.setServing(false, AgentExt);
  assert.equal((await watch.next()).value?.status, Status.NOT_SERVING);
  assert.equal((await health.check({ service })).status, Status.NOT_SERVING);
  lab.server.setServing(true, AgentExt);
  assert.equal((await watch.next()).value?.status, Status.SERVING);
  await watch.return?.();
});

Deno.test("the same service twice is an error", () => {
  assert.throws(() => new RpcServer(ANY_PEER).add(AgentExt, {}).add(AgentExt, {}), TypeError);
});
