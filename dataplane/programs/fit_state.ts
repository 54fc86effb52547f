/** What DATAPATH_STATE says of the other maps. */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import { ConntrackGroup } from "../../shared/gen/abi.ts";
import { DatapathStateMap } from "../maps/datapath_state.ts";
import { fragmentQuota } from "../sizes.ts";

/**
 * Writes what the programs must know of their maps before any of them runs.
 *
 * @param maps By their names in maps.h.
 * @throws SysError
 */
export function fitState(maps: ReadonlyMap<string, BpfMap>): void {
  const named = (name: string): BpfMap => {
    const map = maps.get(name);
    if (map === undefined) throw new RangeError(`no map ${name}`);
    return map;
  };
  using state = new DatapathStateMap(named("DATAPATH_STATE"));
  const { conntrackSeed } = state.value;
  state.write({
    conntrackGroups: named("CONNTRACK").info().maxEntries / ConntrackGroup.CONNTRACK_WAYS,
    // Connections are where the seed puts them: it stays as long as they do.
    conntrackSeed: conntrackSeed.some((word) => word !== 0)
      ? conntrackSeed
      : [...crypto.getRandomValues(new Uint32Array(2))],
    fragmentQuota: fragmentQuota(named("FRAGMENTS").info().maxEntries),
  });
}
