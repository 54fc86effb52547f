import assert from "node:assert/strict";
import { AgentExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError, unavailable } from "../shared/rpc/errors.ts";
import { RpcServer } from "../shared/rpc/server.ts";
import { connectAgent } from "./agent_rpc.ts";

const POD = {
  podName: "web-0",
  podNamespace: "shop",
  containerId: "c0ffee0123456789",
  netns: "/run/netns/blue",
  ifName: "eth0",
};

/** A server with the agent's services, as far as the plugin calls them. */
async function withAgent(act: (socketPath: string, seen: unknown[]) => Promise<void>) {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/agent/cni.sock`;
  const seen: unknown[] = [];
  const server = new RpcServer();
  server.add(AgentControl, {
    addPod: ({ $typeName: _, ...request }) => {
      seen.push(request);
      if (request.podName === "slow") return new Promise(() => {});
      return { ip: "10.244.0.5", gateway: "10.244.0.1", prefixLength: 24, mtu: 1500 };
    },
    delPod: () => Promise.reject(unavailable("the dataplane is „weg“")),
  });
  server.add(AgentExt, {
    checkPod: ({ $typeName: _, ...request }) => {
      seen.push(request);
      return {};
    },
    getReadiness: () => ({ ready: true, reasons: ["one", "two"], degraded: true }),
    collectGarbage: ({ valid }) => ({ removed: [...valid, ...valid] }),
  });
  await server.listenUnix(socketPath);
  try {
    await act(socketPath, seen);
  } finally {
    await server.close(0);
    Deno.removeSync(folder, { recursive: true });
  }
}

async function failure(promise: Promise<unknown>): Promise<RpcError> {
  const thrown = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(thrown instanceof RpcError, String(thrown));
  return thrown;
}

// The first server loads the shim to check its peers, and it stays loaded.
const KEEPS_SHIM = { sanitizeResources: false };

Deno.test("every call reaches a real server and its answer comes back", KEEPS_SHIM, async () => {
  await withAgent(async (socketPath, seen) => {
    const agent = connectAgent(socketPath);
    const request = {
      ...POD,
      labels: { app: "web" },
      requestedIps: ["10.244.0.5"],
      quickAttach: true,
    };
    const added = await agent.addPod(request);
    assert.deepEqual(added, {
      ip: "10.244.0.5",
      gateway: "10.244.0.1",
      mac: "",
      prefixLength: 24,
      mtu: 1500,
      hostIfName: "",
      hostMac: "",
    });
    const check = { ...POD, ips: ["10.244.0.5/24"], mac: "02:fe:0a:f4:00:05" };
    await agent.checkPod(check);
    assert.deepEqual(seen, [request, check]);
    const readiness = await agent.readiness();
    assert.deepEqual(readiness, { ready: true, reasons: ["one", "two"], degraded: true });
    assert.equal(await agent.collectGarbage([{ containerId: "a", ifName: "b" }]), 2);
    const error = await failure(agent.delPod(POD));
    assert.deepEqual([error.code, error.message], [RpcCode.UNAVAILABLE, "the dataplane is „weg“"]);
  });
});

Deno.test("an agent that does not answer in time is DEADLINE_EXCEEDED", KEEPS_SHIM, async () => {
  await withAgent(async (socketPath) => {
    const slow = { ...POD, podName: "slow", labels: {}, requestedIps: [], quickAttach: false };
    const error = await failure(connectAgent(socketPath, 200).addPod(slow));
    assert.equal(error.code, RpcCode.DEADLINE_EXCEEDED);
  });
});

Deno.test("no agent is UNAVAILABLE and names the socket", async () => {
  const error = await failure(connectAgent("/nonexistent/cni.sock").readiness());
  assert.equal(error.code, RpcCode.UNAVAILABLE);
  assert.match(error.message, /\/nonexistent\/cni\.sock/);
});
