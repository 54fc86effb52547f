/** RPCs about endpoints. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DataplaneExt,
  ListEndpointsResponseSchema,
} from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type {
  DataplaneControl,
  DeleteEndpointRequest,
  UpsertEndpointRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { MAC_BYTES } from "../maps/endpoints.ts";
import type { Dataplane } from "./dataplane.ts";

const log = getLogger("dataplane/endpoints");

/** UpsertEndpoint and DeleteEndpoint. */
export function endpointHandlers(
  { endpoints, pods }: Dataplane,
): ServiceImpl<typeof DataplaneControl> {
  return {
    upsertEndpoint(request: UpsertEndpointRequest) {
      checkEndpoint(request);
      const { ip, ifindex, mac, identityId, nodeIp, podName, namespace } = request;
      endpoints.upsert({ ip, ifindex, mac, identity: identityId, nodeIp });
      pods.set(ip, identityId, { podName, namespace });
      log.debug("endpoint set", { ip, ifindex, identity: identityId, podName, namespace });
      return {};
    },
    deleteEndpoint({ ip }: DeleteEndpointRequest) {
      if (ip === 0) throw invalidArgument("ip", ip, "must not be 0");
      const known = endpoints.delete(ip);
      pods.delete(ip);
      log.debug("endpoint deleted", { ip, known });
      return {};
    },
  };
}

/** ListEndpoints. */
export function listEndpoints(
  { endpoints, pods }: Dataplane,
): ServiceImpl<typeof DataplaneExt> {
  return {
    listEndpoints(): MessageInitShape<typeof ListEndpointsResponseSchema> {
      return {
        endpoints: Array.from(endpoints.values(), ({ ip, ifindex, mac, identity, nodeIp }) => {
          const { podName = "", namespace = "" } = pods.get(ip) ?? {};
          return { ip, ifindex, mac, identityId: identity, nodeIp, podName, namespace };
        }),
      };
    },
  };
}

function checkEndpoint({ ip, mac }: UpsertEndpointRequest): void {
  if (ip === 0) throw invalidArgument("ip", ip, "must not be 0");
  if (mac.length !== MAC_BYTES) throw invalidArgument("mac", mac, `must be ${MAC_BYTES} bytes`);
}
