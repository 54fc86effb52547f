/** StreamFlows. */

import { MOST_SUBSCRIBERS } from "../../shared/flows/fan_out.ts";
import type {
  DataplaneControl,
  StreamFlowsRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { EncodedMessages } from "../../shared/rpc/encoded_messages.ts";
import { resourceExhausted } from "../../shared/rpc/errors.ts";
import type { CallContext, ServiceImpl } from "../../shared/rpc/server.ts";
import type { Dataplane } from "./dataplane.ts";

/** The handler of StreamFlows. */
export function flowHandlers(dataplane: Dataplane): ServiceImpl<typeof DataplaneControl> {
  return {
    streamFlows: (request, context) => streamFlows(dataplane, request, context),
  };
}

async function* streamFlows(
  { flows }: Dataplane,
  { identityFilter, dropsOnly }: StreamFlowsRequest,
  { signal }: CallContext,
): AsyncGenerator<EncodedMessages> {
  const subscriber = flows.subscribe({ identity: identityFilter, dropsOnly });
  if (subscriber === undefined) {
    throw resourceExhausted(`${MOST_SUBSCRIBERS} streams of flows are open already`);
  }
  const leave = () => flows.unsubscribe(subscriber);
  signal.addEventListener("abort", leave, { once: true });
  try {
    if (signal.aborted) return;
    for await (const { bytes } of subscriber) yield new EncodedMessages(bytes);
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}
