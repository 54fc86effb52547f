/** UpdateConfig. */

import type {
  DataplaneControl,
  UpdateConfigRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { INERT_KEYS, parseConfigEntries } from "../config/config_keys.ts";
import type { Dataplane } from "./dataplane.ts";

const log = getLogger("dataplane/config");

/** The handler of UpdateConfig. */
export function configHandlers({ config }: Dataplane): ServiceImpl<typeof DataplaneControl> {
  return {
    updateConfig(request: UpdateConfigRequest) {
      const entries = parseConfigEntries(request.entries);
      const changed = entries.filter(([key, value]) => config.values.get(key) !== value);
      config.set(entries);
      for (const [key, value] of changed) {
        log.info("configured", { key: ConfigKey[key], value });
        if (INERT_KEYS.has(key) && value !== 0n) {
          log.warn("nothing in this version acts on this key", { key: ConfigKey[key] });
        }
      }
      return {};
    },
  };
}
