import { AgentExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient, type RpcClient } from "../shared/rpc/client.ts";
import type { Daemon } from "./errors.ts";
import type { GlobalOptions } from "./options.ts";

/** The agent as the command line names it. */
export function agentDaemon(options: GlobalOptions): Daemon {
  return { name: "novanet-agent", socketPath: options.agentSocket, flag: "--agent-socket" };
}

/** A client of novanet.v1.AgentControl; the caller disposes it. */
export function agentControl(options: GlobalOptions): RpcClient<typeof AgentControl> {
  return createRpcClient(AgentControl, { socketPath: options.agentSocket });
}

/** A client of novanet.ext.v1.AgentExt; the caller disposes it. */
export function agentExt(options: GlobalOptions): RpcClient<typeof AgentExt> {
  return createRpcClient(AgentExt, { socketPath: options.agentSocket });
}
