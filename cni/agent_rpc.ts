import { AgentExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../shared/rpc/client.ts";
import type { Agent } from "./agent.ts";

/** How long a call may take. */
const RPC_TIMEOUT_MS = 30_000;

/**
 * The agent at a unix socket. Connections are not closed: the process ends after its one call.
 * Import it only when a call is made: it loads gRPC.
 */
export function connectAgent(socketPath: string): Agent {
  const options = { socketPath, timeoutMs: RPC_TIMEOUT_MS };
  const control = createRpcClient(AgentControl, options);
  const ext = createRpcClient(AgentExt, options);
  return {
    addPod: (request) =>
      control.addPod({
        ...request,
        labels: { ...request.labels },
        requestedIps: [...request.requestedIps],
      }),
    delPod: async (request) => {
      await control.delPod(request);
    },
    checkPod: async (request) => {
      await ext.checkPod({ ...request, ips: [...request.ips] });
    },
    readiness: () => ext.getReadiness({}),
    collectGarbage: async (valid) => {
      const answer = await ext.collectGarbage({ valid: valid.map((one) => ({ ...one })) });
      return answer.removed.length;
    },
  };
}
