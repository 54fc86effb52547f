/** StreamFlows. */

import type {
  DataplaneControl,
  StreamFlowsRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { resourceExhausted } from "../../shared/rpc/errors.ts";
import type { CallContext, ServiceImpl } from "../../shared/rpc/server.ts";
import { MOST_SUBSCRIBERS } from "../flows/fan_out.ts";
import type { FlowMessage } from "../flows/flow_event.ts";
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
): AsyncGenerator<FlowMessage> {
  const subscriber = flows.subscribe({ identity: identityFilter, dropsOnly });
  if (subscriber === undefined) {
    throw resourceExhausted(`${MOST_SUBSCRIBERS} streams of flows are open already`);
  }
  const leave = () => flows.unsubscribe(subscriber);
  signal.addEventListener("abort", leave, { once: true });
  try {
    if (signal.aborted) return;
    for await (const { event, lostBefore } of subscriber) {
      yield lostBefore === 0 ? event : { ...event, lostEvents: BigInt(lostBefore) };
    }
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}
