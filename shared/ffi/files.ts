/**
 * Files below /proc and /sys, for which Deno's own calls ask for all permissions; bpffs is one of them.
 */
import { check, isErrno } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { shim } from "./library.ts";
import { cString } from "./memory.ts";
import { O_RDONLY, open, read } from "./sys.ts";

const decoder = new TextDecoder();

/** Makes a folder whose parent is there. @throws SysError EEXIST */
export function mkdir(path: string, mode: number): void {
  check(`mkdir ${path}`, shim().nv_mkdir(cString(path), mode));
}

/** Removes an empty folder. @throws SysError ENOTEMPTY, ENOENT */
export function rmdir(path: string): void {
  check(`rmdir ${path}`, shim().nv_rmdir(cString(path)));
}

/** Removes a file. @returns whether it was there @throws SysError */
export function unlink(path: string): boolean {
  return unlessAbsent(() => check(`unlink ${path}`, shim().nv_unlink(cString(path)))) !== undefined;
}

/** Is something there? A symbolic link counts, wherever it leads. @throws SysError */
export function exists(path: string): boolean {
  return unlessAbsent(() => check(`stat ${path}`, shim().nv_exists(cString(path)))) !== undefined;
}

/** The names in a folder, in no order; none when there is no folder. @throws SysError */
export function listDir(path: string): string[] {
  const list = (room: Uint8Array<ArrayBuffer>) =>
    unlessAbsent(() =>
      check(`list ${path}`, shim().nv_list_dir(cString(path), room, room.byteLength))
    ) ?? 0;
  let names = new Uint8Array(65536);
  let size = list(names);
  // It may grow between two looks.
  while (size > names.byteLength) {
    names = new Uint8Array(2 * size);
    size = list(names);
  }
  return decoder.decode(names.subarray(0, size)).split("\0").slice(0, -1);
}

/** The text of a file that may not know its size, such as those of /proc. @throws SysError */
export function readText(path: string): string {
  using file = open(path, O_RDONLY);
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = new Uint8Array(65536);
    const count = read(file.fd, chunk);
    if (count === 0) break;
    chunks.push(chunk.subarray(0, count));
  }
  const whole = new TextDecoder();
  return chunks.map((chunk) => whole.decode(chunk, { stream: true })).join("") + whole.decode();
}

/**
 * Takes an open file or folder for this descriptor alone, until the last copy of the descriptor is closed.
 * @returns false when another open one has it
 * @throws SysError
 */
export function tryLock(file: Fd): boolean {
  try {
    check(`lock ${file.what}`, shim().nv_try_lock(file.fd));
    return true;
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return false;
    throw error;
  }
}

function unlessAbsent<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
