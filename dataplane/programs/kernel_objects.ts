/** Maps and programs in the kernel: those that are pinned are adopted, the rest is loaded. */

import { BpfMap, BpfObject, BpfProgram, type MapSpec, MapType } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { unlink } from "../../shared/ffi/files.ts";
import { getLogger } from "../../shared/log.ts";
import { sortLayouts } from "../migration/layouts.ts";
import { layoutText, MapLayouts } from "../migration/map_layout.ts";
import { Migration, removeScratch } from "../migration/migration.ts";
import { OlderMaps } from "../migration/older_maps.ts";
import type { Sizes } from "../sizes.ts";
import {
  LAYOUT_VERSION,
  listPins,
  mapPin,
  PROGRAM_NAMES,
  type ProgramName,
  programPin,
} from "./pins.ts";

const log = getLogger("dataplane/load");

/** The kernel keeps so many characters of a map's name. */
const KERNEL_NAME_LENGTH = 15;

/** What an older map held must find room in the new one. */
const SIZED: ReadonlySet<number> = new Set([MapType.HASH, MapType.LRU_HASH, MapType.LPM_TRIE]);

/** A pinned map is not what this program needs. */
export class PinMismatchError extends Error {
  override readonly name = "PinMismatchError";

  /** @param found Shape of the pinned map. @param wanted Shape that the object has. */
  constructor(readonly path: string, readonly found: string, readonly wanted: string) {
    super(`${path} is a map of ${found}, not of ${wanted}: remove it with --cleanup`);
  }
}

/** The object file has no such map, or map of the kernel objects. */
export class MissingMapError extends Error {
  override readonly name = "MissingMapError";

  constructor(readonly map: string) {
    super(`the datapath has no map ${map}`);
  }
}

/** Owns descriptors of all maps and programs; what is pinned outlives it. */
export class KernelObjects implements Disposable {
  readonly #maps: ReadonlyMap<string, BpfMap>;
  readonly #programs: Readonly<Record<ProgramName, BpfProgram>>;
  /** Eight hexadecimal digits that tell one build of the object from another. */
  readonly objectHash: string;
  /** Whether the programs were there already. */
  readonly adopted: boolean;
  /** What is to be done before and after the hooks change over, when maps of an older layout are pinned. */
  readonly migration: Migration | undefined;

  private constructor(
    maps: ReadonlyMap<string, BpfMap>,
    programs: Readonly<Record<ProgramName, BpfProgram>>,
    objectHash: string,
    adopted: boolean,
    migration: Migration | undefined,
  ) {
    this.#maps = maps;
    this.#programs = programs;
    this.objectHash = objectHash;
    this.adopted = adopted;
    this.migration = migration;
  }

  /**
   * Opens what is pinned, loads and pins what is not. A process that dies in between leaves pins that the
   * next call goes on from: maps are pinned before the programs that use them. Maps of an older layout are
   * copied (`migration`), and those of a newer one left alone.
   *
   * @param pinDir An existing directory on a bpf file system.
   * @param elf The object.
   * @param sizes Of maps that are made now; pinned ones keep theirs.
   * @throws NewerLayoutError, MigrationError, PinMismatchError, VerifierError, SysError
   */
  static async open(pinDir: string, elf: Uint8Array, sizes: Sizes): Promise<KernelObjects> {
    const objectHash = await hashOf(elf);
    const layouts = sortLayouts(pinDir, listPins(pinDir), LAYOUT_VERSION);
    removeScratch(pinDir, layouts.scratch);
    using stack = new DisposableStack();
    using object = BpfObject.open(elf, { name: "datapath" });
    const specs = object.maps().filter((name) => !name.includes(".")).map((name) =>
      object.mapSpec(name)
    );
    const maps = new Map<string, BpfMap>();
    for (const spec of specs) {
      const map = openPinnedMap(pinDir, spec, wantedEntries(spec.name, sizes) ?? spec.maxEntries);
      if (map !== undefined) maps.set(spec.name, stack.use(map));
    }
    const adopted = maps.size === specs.length
      ? adoptPrograms(pinDir, objectHash, maps, stack)
      : undefined;
    if (adopted !== undefined && !layouts.migrates) {
      stack.move();
      return new KernelObjects(maps, adopted, objectHash, true, undefined);
    }
    const mapLayouts = new MapLayouts(elf);
    checkLayouts(pinDir, mapLayouts, specs, maps);
    using older = new OlderMaps(pinDir, mapLayouts, layouts);
    for (const spec of specs) {
      const shared = maps.has(spec.name) ? undefined : older.share(spec);
      if (shared !== undefined) maps.set(spec.name, stack.use(shared));
    }
    const programs = adopted ??
      load({ object, pinDir, objectHash, specs, maps, older, sizes, stack });
    const migration = layouts.migrates
      ? stack.use(
        new Migration({
          pinDir,
          sealed: layouts.truth === LAYOUT_VERSION,
          transfers: older.transfers(specs, maps),
          merge: programs.merge_connection,
        }),
      )
      : undefined;
    migration?.fillOwned();
    stack.move();
    return new KernelObjects(maps, programs, objectHash, adopted !== undefined, migration);
  }

  /** All maps by their names in maps.h; they stay this object's. */
  get maps(): ReadonlyMap<string, BpfMap> {
    return this.#maps;
  }

  /** A map by its name in maps.h; stays this object's. @throws MissingMapError */
  map(name: string): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new MissingMapError(name);
    return map;
  }

  /** A program; stays this object's. */
  program(name: ProgramName): BpfProgram {
    return this.#programs[name];
  }

  /**
   * Has the hooks use these programs, by way of the migration if there is one to be done.
   *
   * @param changeOver Puts the programs on all hooks that have an earlier one's.
   * @returns What that returns.
   * @throws SysError
   */
  async takeOver<T>(pinDir: string, changeOver: () => Promise<T>): Promise<T> {
    this.migration?.seal();
    const result = await changeOver();
    await this.migration?.finish();
    removeOldPrograms(pinDir, this.objectHash);
    return result;
  }

  /** Closes all descriptors. */
  [Symbol.dispose](): void {
    this.migration?.[Symbol.dispose]();
    for (const map of this.#maps.values()) map.close();
    for (const name of PROGRAM_NAMES) this.#programs[name].close();
  }
}

/** Removes pins of programs of other builds: call it when no link uses them any more. */
export function removeOldPrograms(pinDir: string, objectHash: string): void {
  for (const pin of listPins(pinDir).programs) {
    if (pin.objectHash !== objectHash) unlink(`${pinDir}/${pin.file}`);
  }
}

async function hashOf(elf: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(elf));
  return new Uint8Array(digest, 0, 4).toHex();
}

/** Entries that a map gets when it is made, where a flag says so. */
function wantedEntries(map: string, sizes: Sizes): number | undefined {
  switch (map) {
    case "CONNTRACK":
      return sizes.conntrackMax;
    case "ENDPOINTS":
      return sizes.endpointMax;
    case "FRAGMENTS":
      return sizes.fragmentMax;
    case "FLOW_EVENTS":
      return sizes.flowRingBytes;
    case "POLICY_SHAPES":
      return sizes.policyMax;
    // While sets change, keys of the old and of the new one stand side by side.
    case "POLICIES":
    case "CIDR_IDENTITIES":
      return sizes.policyMax * 2;
    default:
      return undefined;
  }
}

function openPinnedMap(pinDir: string, spec: MapSpec, wanted: number): BpfMap | undefined {
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

/** Two builds that call different layouts by the same version would misread each other's elements. */
function checkLayouts(
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

/** The pinned programs of this build, unless one is missing or uses other maps than those pinned now. */
function adoptPrograms(
  pinDir: string,
  objectHash: string,
  maps: ReadonlyMap<string, BpfMap>,
  owner: DisposableStack,
): Record<ProgramName, BpfProgram> | undefined {
  using stack = new DisposableStack();
  const programs: Partial<Record<ProgramName, BpfProgram>> = {};
  for (const name of PROGRAM_NAMES) {
    try {
      const program = stack.use(BpfProgram.openPinned(programPin(pinDir, name, objectHash)));
      if (!usesMaps(program, maps)) return undefined;
      programs[name] = program;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }
  owner.use(stack.move());
  return programs as Record<ProgramName, BpfProgram>;
}

function usesMaps(program: BpfProgram, maps: ReadonlyMap<string, BpfMap>): boolean {
  const ours = new Map(
    [...maps].map(([name, map]) => [name.slice(0, KERNEL_NAME_LENGTH), map.info().id]),
  );
  return program.mapIds().every((id) => {
    using map = BpfMap.byId(id);
    return (ours.get(map.name) ?? id) === id;
  });
}

interface LoadArguments {
  readonly object: BpfObject;
  readonly pinDir: string;
  readonly objectHash: string;
  readonly specs: readonly MapSpec[];
  /** Pinned maps by name; those that are made now are added. */
  readonly maps: Map<string, BpfMap>;
  readonly older: OlderMaps;
  readonly sizes: Sizes;
  readonly stack: DisposableStack;
}

function load(args: LoadArguments): Record<ProgramName, BpfProgram> {
  const { object, pinDir, objectHash, specs, maps, older, sizes, stack } = args;
  for (const { name, maxEntries, type } of specs) {
    const pinned = maps.get(name);
    const wanted = wantedEntries(name, sizes) ?? maxEntries;
    const entries = SIZED.has(type) ? Math.max(wanted, older.entries(name)) : wanted;
    if (pinned !== undefined) object.reuseMap(name, pinned.fd);
    else if (entries !== maxEntries) object.setMaxEntries(name, entries);
  }
  const start = performance.now();
  object.load();
  log.info("programs loaded", { object: objectHash, ms: Math.round(performance.now() - start) });
  for (const { name } of specs) {
    if (maps.has(name)) continue;
    const map = stack.use(object.map(name));
    map.pin(mapPin(pinDir, name));
    maps.set(name, map);
  }
  const programs: Partial<Record<ProgramName, BpfProgram>> = {};
  for (const name of PROGRAM_NAMES) {
    const program = stack.use(object.program(name));
    const path = programPin(pinDir, name, objectHash);
    unlink(path);
    program.pin(path);
    programs[name] = program;
  }
  return programs as Record<ProgramName, BpfProgram>;
}
