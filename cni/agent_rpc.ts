import type { Agent } from "./agent.ts";
import { callGrpc } from "./grpc_call.ts";
import {
  ADD_POD_REQUEST,
  ADD_POD_RESPONSE,
  CHECK_POD_REQUEST,
  COLLECT_GARBAGE_REQUEST,
  COLLECT_GARBAGE_RESPONSE,
  DEL_POD_REQUEST,
  EMPTY,
  GET_READINESS_RESPONSE,
} from "./messages.ts";
import { decode, encode, type MessageSpec, type MessageValue } from "./protobuf.ts";

/** How long a call may take, unless told otherwise. */
const RPC_TIMEOUT_MS = 30_000;

/**
 * The agent at a unix socket; each call has a connection of its own.
 * Import it only when a call is made: it loads HTTP/2.
 */
export function connectAgent(socketPath: string, timeoutMs: number = RPC_TIMEOUT_MS): Agent {
  async function call<I extends MessageSpec, O extends MessageSpec>(
    path: string,
    input: I,
    output: O,
    request: MessageValue<I>,
  ): Promise<MessageValue<O>> {
    const message = encode(input, request);
    return decode(output, await callGrpc({ socketPath, path, message, timeoutMs }));
  }
  return {
    addPod: (request) =>
      call("/novanet.v1.AgentControl/AddPod", ADD_POD_REQUEST, ADD_POD_RESPONSE, request),
    delPod: async (request) => {
      await call("/novanet.v1.AgentControl/DelPod", DEL_POD_REQUEST, EMPTY, request);
    },
    checkPod: async (request) => {
      await call("/novanet.ext.v1.AgentExt/CheckPod", CHECK_POD_REQUEST, EMPTY, request);
    },
    readiness: () =>
      call("/novanet.ext.v1.AgentExt/GetReadiness", EMPTY, GET_READINESS_RESPONSE, {}),
    collectGarbage: async (valid) => {
      const path = "/novanet.ext.v1.AgentExt/CollectGarbage";
      const answer = await call(path, COLLECT_GARBAGE_REQUEST, COLLECT_GARBAGE_RESPONSE, { valid });
      return answer.removed.length;
    },
  };
}
