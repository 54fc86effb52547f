/** DataplaneControl and DataplaneExt, put together. */

import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcServer, type RpcServerOptions } from "../../shared/rpc/server.ts";
import { configHandlers } from "./config.ts";
import type { Dataplane } from "./dataplane.ts";
import { endpointHandlers, listEndpoints } from "./endpoints.ts";
import { flowHandlers } from "./flows.ts";
import { inspectionHandlers } from "./inspection.ts";
import { laterHandlers } from "./later.ts";
import { policyExtHandlers, policyHandlers } from "./policies.ts";
import { forgetInterfaces, programHandlers } from "./programs.ts";
import { statusHandlers } from "./status.ts";
import { traceHandlers } from "./trace.ts";

/** A server of all the dataplane's RPCs; it does not listen yet. */
export function createServer(dataplane: Dataplane, options: RpcServerOptions = {}): RpcServer {
  return new RpcServer(options)
    .add(DataplaneControl, {
      ...endpointHandlers(dataplane),
      ...policyHandlers(dataplane),
      ...configHandlers(dataplane),
      ...programHandlers(dataplane),
      ...flowHandlers(dataplane),
      ...statusHandlers(dataplane),
      ...laterHandlers,
    })
    .add(DataplaneExt, {
      ...forgetInterfaces(dataplane),
      ...listEndpoints(dataplane),
      ...policyExtHandlers(dataplane),
      ...traceHandlers(dataplane),
      ...inspectionHandlers(dataplane),
    });
}
