import { failedPrecondition } from "../../shared/rpc/errors.ts";
import { failingStream } from "./failing_stream.ts";

function overlayMode() {
  return failedPrecondition("routing_mode is overlay: there is no routing daemon to ask");
}

function refuse(): never {
  throw overlayMode();
}

/** AgentControl's routing queries in overlay mode: there is nobody to ask. */
export const routingMethods = {
  getRoutingPeers: refuse,
  getRoutingPrefixes: refuse,
  getRoutingBFDSessions: refuse,
  getRoutingOSPFNeighbors: refuse,
  streamRoutingEvents: () => failingStream(overlayMode()),
};
