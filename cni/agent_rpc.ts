import { callMessages } from "../shared/rpc/call.ts";
import { Channel } from "../shared/rpc/channel.ts";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import type { Agent } from "./agent.ts";
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

/** Longest answer. */
const MAX_ANSWER_BYTES = 4 << 20;

/**
 * The agent at a unix socket; each call has a connection of its own.
 *
 * It puts messages into wire format itself, since the descriptors of protobuf-es take 17 ms at each start: a
 * compiled process that makes one call takes 35 ms so, and 31 ms without any call (Deno 2.7.14, two cores).
 * Import it only when a call is made: it loads HTTP/2.
 */
export function connectAgent(socketPath: string, timeoutMs: number = RPC_TIMEOUT_MS): Agent {
  async function call<I extends MessageSpec, O extends MessageSpec>(
    path: string,
    input: I,
    output: O,
    request: MessageValue<I>,
  ): Promise<MessageValue<O>> {
    using channel = new Channel(socketPath);
    const options = { path, timeoutMs, maxMessageBytes: MAX_ANSWER_BYTES };
    for await (const [answer] of callMessages(channel, encode(input, request), options)) {
      if (answer !== undefined) return decode(output, answer);
    }
    throw new RpcError(RpcCode.INTERNAL, `the answer to ${path} has no message`);
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
