/** The pinned maps of older layouts, and what of them goes into those of this program. */

import { BpfMap, type MapSpec } from "../../shared/ffi/bpf.ts";
import { LAYOUT_VERSION, type MapPin, mapPin } from "../programs/pins.ts";
import type { Layouts } from "./layouts.ts";
import { layoutText, type MapLayouts } from "./map_layout.ts";
import { type LaidOutMap, MapTransfer, MigrationError } from "./map_transfer.ts";
import { ADDED_LATER, type Role, ROLES } from "./roles.ts";

interface OlderMap extends LaidOutMap {
  readonly pin: MapPin;
}

/** Owns descriptors of all maps of older layouts. */
export class OlderMaps implements Disposable {
  readonly #pinDir: string;
  readonly #layouts: MapLayouts;
  readonly #truth: number | undefined;
  /** Newest first. */
  readonly #maps: readonly OlderMap[];

  /** @throws SysError */
  constructor(pinDir: string, layouts: MapLayouts, { older, truth }: Layouts) {
    using stack = new DisposableStack();
    const opened = older.map((pin) => {
      const path = `${pinDir}/${pin.file}`;
      return { pin, path, map: stack.use(BpfMap.openPinned(path)) };
    });
    this.#pinDir = pinDir;
    this.#layouts = layouts;
    this.#truth = truth;
    this.#maps = opened.map(({ pin, path, map }) => {
      const beside = opened.filter((other) => other.pin.version === pin.version);
      const layout = layouts.ofPinned(pin.map, map, beside.map((other) => other.map));
      return { pin, path, map, layout };
    });
    stack.move();
  }

  /**
   * Pins the map that holds the truth under the present version too, if nothing of its layout changed.
   *
   * @returns A descriptor, the caller's to close.
   * @throws SysError
   */
  share(spec: MapSpec): BpfMap | undefined {
    const old = this.#maps.find(({ pin }) => pin.map === spec.name && pin.version === this.#truth);
    if (old === undefined) return undefined;
    if (layoutText(old.layout) !== layoutText(this.#layouts.ofObject(spec))) return undefined;
    old.map.pin(mapPin(this.#pinDir, spec.name));
    return old.map.dup();
  }

  /** What a new map of this name must have room for. */
  entries(name: string): number {
    const sizes = this.#maps.filter(({ pin }) => pin.map === name)
      .map(({ map }) => map.info().maxEntries);
    return Math.max(0, ...sizes);
  }

  /**
   * What is to be copied into the maps of this program.
   *
   * @param maps By name.
   * @returns Newest first; they are the caller's to dispose of.
   * @throws MigrationError, SysError
   */
  transfers(specs: readonly MapSpec[], maps: ReadonlyMap<string, BpfMap>): MapTransfer[] {
    using stack = new DisposableStack();
    const transfers = this.#maps.flatMap((old) => {
      const spec = specs.find(({ name }) => name === old.pin.map);
      const map = maps.get(old.pin.map);
      if (spec === undefined || map === undefined || map.info().id === old.map.info().id) return [];
      const role = roleOf(old);
      if (role === "events" || (role !== "live" && old.pin.version !== this.#truth)) return [];
      const to = {
        path: mapPin(this.#pinDir, spec.name),
        map,
        layout: this.#layouts.ofObject(spec),
      };
      const from = { ...old, map: old.map.dup() };
      stack.use(from.map);
      return [new MapTransfer(spec.name, role, from, to, ADDED_LATER[spec.name])];
    });
    stack.move();
    return transfers;
  }

  [Symbol.dispose](): void {
    for (const { map } of this.#maps) map.close();
  }
}

function roleOf({ pin, path }: OlderMap): Role {
  const role = ROLES[pin.map];
  if (role === undefined) {
    throw new MigrationError(path, `maps of layout ${LAYOUT_VERSION} have none of this name`);
  }
  return role;
}
