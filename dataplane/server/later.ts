/**
 * RPCs of features that are not there yet. Listings are empty; those that change something are left out,
 * so that they answer UNIMPLEMENTED.
 */

import type { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";

/** Handlers of the listings. */
export const laterHandlers: ServiceImpl<typeof DataplaneControl> = {
  getSockmapStats: () => ({}),
  listMeshServices: () => ({}),
  getInternalRateLimitStats: () => ({}),
  getBackendHealthStats: () => ({}),
};
