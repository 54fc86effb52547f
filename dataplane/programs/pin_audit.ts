/** Is in the pin directory what keeps the datapath alive, and nothing else? */

import { BpfMap, BpfProgram, TcxLink } from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { rmdir, unlink } from "../../shared/ffi/files.ts";
import type { Fault } from "../../shared/doctor/fault.ts";
import type { KernelObjects } from "./kernel_objects.ts";
import {
  LAYOUT_VERSION,
  listPins,
  mapPin,
  PROGRAM_NAMES,
  type ProgramName,
  programPin,
} from "./pins.ts";

interface Pinned {
  readonly path: string;
  readonly what: string;
  readonly id: number;
  /** The kernel's id of what is pinned there. @throws SysError */
  readonly read: () => number;
  /** @throws SysError */
  readonly pin: () => void;
}

/** Pins that are missing, too many, or of other objects. @throws SysError */
export function pinFaults(pinDir: string, objects: KernelObjects): Fault[] {
  const wanted = wantedPins(pinDir, objects);
  return [...wanted.flatMap(missing), ...strayPins(pinDir, wanted)];
}

function wantedPins(pinDir: string, objects: KernelObjects): Pinned[] {
  const maps = [...objects.maps].map(([name, map]): Pinned => {
    const path = mapPin(pinDir, name);
    return {
      path,
      what: `map ${name}`,
      id: map.info().id,
      read: () => idOf(BpfMap.openPinned(path)),
      pin: () => map.pin(path),
    };
  });
  const programs = PROGRAM_NAMES.map((name: ProgramName): Pinned => {
    const path = programPin(pinDir, name, objects.objectHash);
    const program = objects.program(name);
    return {
      path,
      what: `program ${name}`,
      id: program.info().id,
      read: () => idOf(BpfProgram.openPinned(path)),
      pin: () => program.pin(path),
    };
  });
  return [...maps, ...programs];
}

function missing({ path, what, id, read, pin }: Pinned): Fault[] {
  const found = readPin(read);
  if (found === id) return [];
  return [{
    kind: "pin",
    object: path,
    expected: `${what}, id ${id}`,
    found: found === undefined
      ? "no file"
      : found === 0
      ? "something else"
      : `another one, id ${found}`,
    remedy: "--fix pins it: a dataplane that starts would not find it",
    repair: () => {
      unlink(path);
      pin();
    },
  }];
}

function strayPins(pinDir: string, wanted: readonly Pinned[]): Fault[] {
  const { maps, programs, links, seals, others } = listPins(pinDir);
  const known = new Set(wanted.map(({ path }) => path));
  const strayLinks = links.filter(({ file, ifindex, direction }) => {
    const link = readLink(`${pinDir}/${file}`);
    // One whose interface went goes with the next look of the collector.
    return link !== undefined &&
      (link === "other" || link.ifindex !== ifindex || link.attach !== direction);
  });
  return [
    ...maps.map((map) => stray(`${pinDir}/${map.file}`, map.version)),
    ...[...programs, ...strayLinks].map(({ file }) => stray(`${pinDir}/${file}`)),
    ...others.map((file) => stray(`${pinDir}/${file}`)),
    ...seals.map(({ file }) => strayFolder(`${pinDir}/${file}`)),
  ].filter(({ object }) => !known.has(object));
}

/** What a migration that is over leaves no more. */
function strayFolder(path: string): Fault {
  return { ...stray(path), repair: () => rmdir(path) };
}

function stray(path: string, version: number = LAYOUT_VERSION): Fault {
  const fault = { kind: "pin", object: path, expected: "no file" };
  if (version > LAYOUT_VERSION) {
    return {
      ...fault,
      found: `a map of a newer layout than ${LAYOUT_VERSION}`,
      remedy:
        "a newer dataplane left it: start that one, or remove it with novanet-dataplane --cleanup",
    };
  }
  return {
    ...fault,
    found: "a pin that nothing needs",
    remedy: "--fix removes the pin",
    repair: () => void unlink(path),
  };
}

/** @returns undefined when nothing is there, 0 when it is of another kind */
function readPin(read: () => number): number | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    return 0;
  }
}

function readLink(path: string) {
  try {
    using link = TcxLink.openPinned(path);
    const info = link.info();
    return info.ifindex === 0 ? undefined : info;
  } catch (error) {
    return isErrno(error, "ENOENT") ? undefined : "other" as const;
  }
}

function idOf(object: BpfMap | BpfProgram): number {
  using opened = object;
  return opened.info().id;
}
