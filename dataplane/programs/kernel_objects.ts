/** Maps and programs in the kernel: those that are pinned are adopted, the rest is loaded. */

import { BpfMap, BpfObject, BpfProgram, type MapSpec } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { unlink } from "../../shared/ffi/files.ts";
import { getLogger } from "../../shared/log.ts";
import type { Sizes } from "../sizes.ts";
import { listPins, mapPin, PROGRAM_NAMES, type ProgramName, programPin } from "./pins.ts";

const log = getLogger("dataplane/load");

/** The kernel keeps so many characters of a map's name. */
const KERNEL_NAME_LENGTH = 15;

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

  private constructor(
    maps: ReadonlyMap<string, BpfMap>,
    programs: Readonly<Record<ProgramName, BpfProgram>>,
    objectHash: string,
    adopted: boolean,
  ) {
    this.#maps = maps;
    this.#programs = programs;
    this.objectHash = objectHash;
    this.adopted = adopted;
  }

  /**
   * Opens what is pinned, loads and pins what is not. A process that dies in between leaves pins that the
   * next call goes on from: maps are pinned before the programs that use them.
   *
   * @param pinDir An existing directory on a bpf file system.
   * @param elf The object.
   * @param sizes Of maps that are made now; pinned ones keep theirs.
   * @throws PinMismatchError, VerifierError, SysError
   */
  static async open(pinDir: string, elf: Uint8Array, sizes: Sizes): Promise<KernelObjects> {
    const objectHash = await hashOf(elf);
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
    const programs = adopted ??
      load({ object, pinDir, objectHash, specs, maps, sizes, stack });
    stack.move();
    return new KernelObjects(maps, programs, objectHash, adopted !== undefined);
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

  /** Closes all descriptors. */
  [Symbol.dispose](): void {
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
  readonly sizes: Sizes;
  readonly stack: DisposableStack;
}

function load(args: LoadArguments): Record<ProgramName, BpfProgram> {
  const { object, pinDir, objectHash, specs, maps, sizes, stack } = args;
  for (const { name } of specs) {
    const pinned = maps.get(name);
    const entries = wantedEntries(name, sizes);
    if (pinned !== undefined) object.reuseMap(name, pinned.fd);
    else if (entries !== undefined) object.setMaxEntries(name, entries);
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
