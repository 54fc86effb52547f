/** Names in the pin directory. bpffs takes no dots in names. */

import { BpfProgram, type Direction } from "../../shared/ffi/bpf.ts";
import { listDir } from "../../shared/ffi/files.ts";
import { Layout } from "../../shared/gen/abi.ts";

/** The version of the maps' layout that this program knows. */
export const { LAYOUT_VERSION } = Layout;

/** Programs of the object, by the role that they have. */
export const PROGRAM_NAMES = [
  "pod_egress",
  "pod_ingress",
  "collect_garbage",
  "connection",
] as const;

/** One of {@linkcode PROGRAM_NAMES}. */
export type ProgramName = typeof PROGRAM_NAMES[number];

const MAP_PIN = /^([A-Z][A-Z0-9_]*)_v(\d{1,9})$/;
const SEAL = /^sealed_v(\d{1,9})$/;
const PROGRAM_PIN = /^prog_([a-z0-9_]+)_([0-9a-f]{8})$/;
const LINK_PIN = /^link_(\d+)_(ingress|egress)$/;

/** Where a map is pinned. */
export function mapPin(pinDir: string, map: string, version: number = LAYOUT_VERSION): string {
  return `${pinDir}/${map}_v${version}`;
}

/** A folder that says, while maps of several layouts are pinned, that those of this one hold the truth. */
export function sealPath(pinDir: string, version: number): string {
  return `${pinDir}/sealed_v${version}`;
}

/** Where a program is pinned. @param objectHash Eight hexadecimal digits. */
export function programPin(pinDir: string, program: ProgramName, objectHash: string): string {
  return `${pinDir}/prog_${program}_${objectHash}`;
}

/** Where the link of a hook is pinned. */
export function linkPin(pinDir: string, ifindex: number, direction: Direction): string {
  return `${pinDir}/link_${ifindex}_${direction}`;
}

/** A pinned map, by its file's name. */
export interface MapPin {
  readonly file: string;
  readonly map: string;
  /** Of its layout. */
  readonly version: number;
}

/** A seal (`sealPath`), by its name. */
export interface Seal {
  readonly file: string;
  readonly version: number;
}

/** A pinned program, by its file's name. */
export interface ProgramPin {
  readonly file: string;
  readonly objectHash: string;
}

/** A pinned link, by its file's name. */
export interface LinkPin {
  readonly file: string;
  readonly ifindex: number;
  readonly direction: Direction;
}

/** What a pin directory holds. */
export interface PinListing {
  readonly maps: readonly MapPin[];
  readonly seals: readonly Seal[];
  readonly programs: readonly ProgramPin[];
  readonly links: readonly LinkPin[];
  /** Names that are not ours. */
  readonly others: readonly string[];
}

/** Sorts the names in a pin directory. Pure. */
export function sortPins(names: Iterable<string>): PinListing {
  const listing = {
    maps: [] as MapPin[],
    seals: [] as Seal[],
    programs: [] as ProgramPin[],
    links: [] as LinkPin[],
    others: [] as string[],
  };
  for (const file of names) {
    const program = PROGRAM_PIN.exec(file);
    const link = LINK_PIN.exec(file);
    const map = MAP_PIN.exec(file);
    const seal = SEAL.exec(file);
    if (program?.[2] !== undefined) listing.programs.push({ file, objectHash: program[2] });
    else if (link !== null) {
      listing.links.push({ file, ifindex: Number(link[1]), direction: link[2] as Direction });
    } else if (map?.[1] !== undefined) {
      listing.maps.push({ file, map: map[1], version: Number(map[2]) });
    } else if (seal !== null) listing.seals.push({ file, version: Number(seal[1]) });
    else listing.others.push(file);
  }
  return listing;
}

/** Lists a pin directory; one that does not exist is empty. @throws SysError */
export function listPins(pinDir: string): PinListing {
  return sortPins(listDir(pinDir));
}

/** The kernel's ids of the programs that are pinned, of all builds. @throws SysError */
export function pinnedProgramIds(pinDir: string): ReadonlySet<number> {
  return new Set(
    listPins(pinDir).programs.map(({ file }) => {
      using program = BpfProgram.openPinned(`${pinDir}/${file}`);
      return program.info().id;
    }),
  );
}
