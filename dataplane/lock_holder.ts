/** Who holds a lock of flock(2), as /proc tells it. */

import { readText } from "../shared/ffi/files.ts";

/** What of /proc names an open file's inode and the holders of locks. */
export interface LockTables {
  /** /proc/self/fdinfo of the file (Linux 5.14 or later, for `ino`). */
  readonly fdinfo: string;
  /** /proc/self/mountinfo */
  readonly mountinfo: string;
  /** /proc/locks */
  readonly locks: string;
}

/** An open file's inode as /proc/locks writes it: `00:1f:1234`. Pure. Undefined when it is not told. */
export function inodeText({ fdinfo, mountinfo }: Omit<LockTables, "locks">): string | undefined {
  const inode = /^ino:\s*(\d+)$/m.exec(fdinfo)?.[1];
  const mountId = /^mnt_id:\s*(\d+)$/m.exec(fdinfo)?.[1];
  const mount = mountinfo.split("\n").find((line) => line.split(" ")[0] === mountId);
  const device = mount?.split(" ")[2]?.split(":") ?? [];
  if (inode === undefined || device.length !== 2) return undefined;
  const [major, minor] = device.map((number) => Number(number).toString(16).padStart(2, "0"));
  return `${major}:${minor}:${inode}`;
}

/** The process that holds the lock of a file. Pure. Undefined when none that is seen from here does. */
export function findHolder(tables: LockTables): number | undefined {
  const inode = inodeText(tables);
  for (const line of tables.locks.split("\n")) {
    // 1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF
    const [, kind, , , pid, locked] = line.split(/\s+/);
    if (kind === "FLOCK" && locked === inode && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

/** The process that holds the lock of an open file, where that can be known. @throws SysError */
export function lockHolder(fd: number): number | undefined {
  return findHolder({ ...readInode(fd), locks: readText("/proc/locks") });
}

/** Two descriptors of one file? @throws SysError */
export function isSameFile(left: number, right: number): boolean {
  return inodeText(readInode(left)) === inodeText(readInode(right));
}

function readInode(fd: number): Omit<LockTables, "locks"> {
  return {
    fdinfo: readText(`/proc/self/fdinfo/${fd}`),
    mountinfo: readText("/proc/self/mountinfo"),
  };
}
