/** Maps and programs in the kernel: those that are pinned are adopted, the rest is loaded. */

import { BpfMap, BpfObject, BpfProgram, type MapSpec, MapType } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { unlink } from "../../shared/ffi/files.ts";
import { getLogger } from "../../shared/log.ts";
import { type Layouts, sortLayouts } from "../migration/layouts.ts";
import { MapLayouts } from "../migration/map_layout.ts";
import { Migration, removeScratch } from "../migration/migration.ts";
import { OlderMaps } from "../migration/older_maps.ts";
import type { Sizes } from "../sizes.ts";
import { fitState } from "./fit_state.ts";
import {
  LAYOUT_VERSION,
  listPins,
  mapPin,
  PROGRAM_NAMES,
  type ProgramName,
  programPin,
} from "./pins.ts";
import { checkLayouts, openPinnedMap, wantedEntries } from "./pinned_maps.ts";

const log = getLogger("dataplane/load");

/** The kernel keeps so many characters of a map's name. */
const KERNEL_NAME_LENGTH = 15;

/** What an older map held must find room in the new one. */
const SIZED: ReadonlySet<number> = new Set([MapType.HASH, MapType.LRU_HASH, MapType.LPM_TRIE]);

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
      // Who pinned them may have died before this.
      fitState(maps);
      stack.move();
      return new KernelObjects(maps, adopted, objectHash, true, undefined);
    }
    const mapLayouts = new MapLayouts(elf);
    checkLayouts(pinDir, mapLayouts, specs, maps);
    using older = new OlderMaps(pinDir, mapLayouts, layouts);
    for (const spec of specs) {
      const shared = maps.has(spec.name) ? undefined : older.share(spec, specs);
      if (shared !== undefined) maps.set(spec.name, stack.use(shared));
    }
    const programs = adopted ??
      load({ object, pinDir, objectHash, specs, maps, older, sizes, stack });
    const migration = layouts.migrates
      ? stack.use(
        new Migration({
          pinDir,
          sealed: layouts.truth === LAYOUT_VERSION,
          transfers: undoing(
            pinDir,
            layouts,
            objectHash,
            () => older.transfers(specs, maps, programs.connection),
          ),
        }),
      )
      : undefined;
    migration?.fillOwned();
    fitState(maps);
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

/** Takes away what was pinned for a migration that cannot be made. */
function undoing<T>(
  pinDir: string,
  { truth }: Layouts,
  objectHash: string,
  attempt: () => T,
): T {
  try {
    return attempt();
  } catch (error) {
    if (truth === LAYOUT_VERSION) throw error;
    const { maps, programs } = listPins(pinDir);
    const begun = maps.filter(({ version }) => version === LAYOUT_VERSION);
    const loaded = programs.filter((pin) => pin.objectHash === objectHash);
    for (const { file } of [...begun, ...loaded]) unlink(`${pinDir}/${file}`);
    throw error;
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
  const { object, pinDir, objectHash, specs, maps, older, stack } = args;
  const connections = older.entries("CONNTRACK") + older.entries("CONNTRACK_MORE");
  const sizes = { ...args.sizes, conntrackMax: Math.max(args.sizes.conntrackMax, connections) };
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
