/** Maps that are pinned already, as this program wants them or refused. */

import { connectionSizes } from "../maps/connections.ts";
import { BpfMap, type MapSpec } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { getLogger } from "../../shared/log.ts";
import { layoutText, type MapLayouts } from "../migration/map_layout.ts";
import type { Sizes } from "../sizes.ts";
import { mapPin } from "./pins.ts";

const log = getLogger("dataplane/load");

/** A pinned map is not what this program needs. */
export class PinMismatchError extends Error {
  override readonly name = "PinMismatchError";

  /** @param found Shape of the pinned map. @param wanted Shape that the object has. */
  constructor(readonly path: string, readonly found: string, readonly wanted: string) {
    super(
      `${path} is a map of ${found}, not of ${wanted}: remove what is pinned there with --cleanup`,
    );
  }
}

/** Entries that a map gets when it is made, where a flag says so. */
export function wantedEntries(map: string, sizes: Sizes): number | undefined {
  switch (map) {
    case "CONNTRACK":
      return connectionSizes(sizes.conntrackMax).slots;
    case "CONNTRACK_MORE":
      return connectionSizes(sizes.conntrackMax).more;
    case "ENDPOINTS":
      return sizes.endpointMax;
    case "FRAGMENTS":
      return sizes.fragmentMax;
    case "FLOW_EVENTS":
      return sizes.flowRingBytes;
    // While sets change, keys of the old and of the new one stand side by side, and so do their shapes.
    case "POLICY_SHAPES":
    case "POLICIES":
    case "CIDR_IDENTITIES":
      return sizes.policyMax * 2;
    default:
      return undefined;
  }
}

/**
 * The map of an object that is pinned under the present version, the caller's to close; undefined when there is none.
 *
 * @param wanted Its size, if it were made now.
 * @throws PinMismatchError, SysError
 */
export function openPinnedMap(pinDir: string, spec: MapSpec, wanted: number): BpfMap | undefined {
  const path = mapPin(pinDir, spec.name);
  let map: BpfMap;
  try {
    map = BpfMap.openPinned(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const info = map.info();
  if (shapeText(info) !== shapeText(spec)) {
    map.close();
    throw new PinMismatchError(path, shapeText(info), shapeText(spec));
  }
  if (info.maxEntries !== wanted) {
    log.warn("a pinned map keeps its size; --cleanup and a new start would change it", {
      map: spec.name,
      entries: info.maxEntries,
      wanted,
    });
  }
  return map;
}

function shapeText({ type, keySize, valueSize, flags }: Omit<MapSpec, "name">): string {
  return `type ${type}, key ${keySize}, value ${valueSize} bytes, flags ${flags}`;
}

/**
 * Two builds that call different layouts by the same version would misread each other's elements.
 *
 * @throws PinMismatchError, SysError
 */
export function checkLayouts(
  pinDir: string,
  layouts: MapLayouts,
  specs: readonly MapSpec[],
  maps: ReadonlyMap<string, BpfMap>,
): void {
  for (const spec of specs) {
    const map = maps.get(spec.name);
    if (map === undefined) continue;
    const found = layouts.ofPinned(spec.name, map, maps.values());
    // Without type information there is nothing to compare but the sizes, which are right.
    if (found.value === undefined) continue;
    const [foundText, wantedText] = [layoutText(found), layoutText(layouts.ofObject(spec))];
    if (foundText === wantedText) continue;
    throw new PinMismatchError(mapPin(pinDir, spec.name), foundText, wantedText);
  }
}
