/** The pinned maps of older layouts, and what of them goes into those of this program. */

import { BpfMap, type BpfProgram, type MapSpec } from "../../shared/ffi/bpf.ts";
import { ObjectFormatError } from "../../shared/btf/elf.ts";
import type { Shape } from "../../shared/btf/shape.ts";
import { LAYOUT_VERSION, type MapPin, mapPin } from "../programs/pins.ts";
import type { Layouts } from "./layouts.ts";
import { layoutText, type MapLayouts } from "./map_layout.ts";
import { ConnectionTransfer } from "./connection_transfer.ts";
import { type LaidOutMap, MapTransfer, MigrationError, type Transfer } from "./map_transfer.ts";
import { type Role, ROLES } from "./roles.ts";

/** Maps whose elements are connections. */
const CONNECTION_MAPS: ReadonlySet<string> = new Set(["CONNTRACK", "CONNTRACK_MORE"]);
/** Maps whose contents follow from those of another. */
const DERIVED_FROM: Readonly<Record<string, string>> = {
  CONNTRACK_MORE_COUNT: "CONNTRACK_MORE",
  FRAGMENT_COUNTS: "FRAGMENTS",
};

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
   * @param specs Of all maps: one that follows from another is shared when that is.
   * @returns A descriptor, the caller's to close.
   * @throws SysError
   */
  share(spec: MapSpec, specs: readonly MapSpec[]): BpfMap | undefined {
    const source = specs.find(({ name }) => name === DERIVED_FROM[spec.name]);
    if (source !== undefined && this.#sameLayout(source) === undefined) return undefined;
    const old = this.#sameLayout(spec);
    old?.map.pin(mapPin(this.#pinDir, spec.name));
    return old?.map.dup();
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
   * @param connection The program of that name; stays the caller's.
   * @returns Newest first; they are the caller's to dispose of.
   * @throws MigrationError, SysError
   */
  transfers(
    specs: readonly MapSpec[],
    maps: ReadonlyMap<string, BpfMap>,
    connection: BpfProgram,
  ): Transfer[] {
    using stack = new DisposableStack();
    const transfers = this.#maps.flatMap((old): Transfer[] => {
      const spec = specs.find(({ name }) => name === old.pin.map);
      const map = maps.get(old.pin.map);
      if (spec === undefined || map === undefined || map.info().id === old.map.info().id) return [];
      const role = roleOf(old);
      if (role === "events" || role === "derived") return [];
      if (role !== "live" && old.pin.version !== this.#truth) return [];
      const from = { ...old, map: stack.use(old.map.dup()) };
      if (CONNECTION_MAPS.has(spec.name)) {
        return [new ConnectionTransfer(spec.name, from, this.#entry(specs), connection)];
      }
      const to = {
        path: mapPin(this.#pinDir, spec.name),
        map,
        layout: this.#layouts.ofObject(spec),
      };
      return [new MapTransfer(spec.name, role, from, to)];
    });
    stack.move();
    return transfers;
  }

  [Symbol.dispose](): void {
    for (const { map } of this.#maps) map.close();
  }

  /** The map that holds the truth, if its layout is still that of the object. */
  #sameLayout(spec: MapSpec): OlderMap | undefined {
    const old = this.#maps.find(({ pin }) => pin.map === spec.name && pin.version === this.#truth);
    if (old === undefined) return undefined;
    const same = layoutText(old.layout) === layoutText(this.#layouts.ofObject(spec));
    return same ? old : undefined;
  }

  /** `struct conntrack_entry` of the object. */
  #entry(specs: readonly MapSpec[]): Shape {
    const spec = specs.find(({ name }) => name === "CONNTRACK_MORE");
    const entry = spec && this.#layouts.ofObject(spec).value;
    if (entry === undefined) throw new ObjectFormatError("the object has no CONNTRACK_MORE");
    return entry;
  }
}

function roleOf({ pin, path }: OlderMap): Role {
  const role = ROLES[pin.map];
  if (role === undefined) {
    throw new MigrationError(path, `maps of layout ${LAYOUT_VERSION} have none of this name`);
  }
  return role;
}
