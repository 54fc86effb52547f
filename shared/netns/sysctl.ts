import * as sys from "../ffi/sys.ts";
import { type Netns, openNetns, withNetnsFd } from "./netns.ts";

/**
 * Reads a kernel setting as the namespace has it.
 * @param name below /proc/sys with slashes (an interface's name may hold dots), e.g. `net/ipv4/ip_forward`.
 * @returns its text without the line end.
 * @throws {SysError} ENOENT when there is no such setting.
 * @throws {RangeError} when the name leads outside.
 */
export function readSysctl(netns: Netns, name: string): string {
  const path = sysctlPath(name);
  return withNetns(netns, (fd) => sys.netnsReadFile(fd, path)).trimEnd();
}

/**
 * Writes a kernel setting in the namespace.
 * @throws {SysError} ENOENT when there is no such setting, EINVAL when it refuses the value.
 * @throws {RangeError} when the name leads outside.
 */
export function writeSysctl(netns: Netns, name: string, value: string): void {
  const path = sysctlPath(name);
  withNetns(netns, (fd) => sys.netnsWriteFile(fd, path, value));
}

/**
 * Writes a kernel setting unless it has that value already (so it works on a read-only /proc/sys that is right).
 * @returns the value it had when it was changed, else undefined.
 * @throws as writeSysctl.
 */
export function ensureSysctl(netns: Netns, name: string, value: string): string | undefined {
  const before = readSysctl(netns, name);
  if (before === value) return undefined;
  writeSysctl(netns, name, value);
  return before;
}

function withNetns<T>(netns: Netns, use: (fd: number) => T): T {
  if (netns !== undefined) return withNetnsFd(netns, use);
  using own = openNetns();
  return use(own.fd);
}

function sysctlPath(name: string): string {
  const parts = name.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new RangeError(
      `Cannot use sysctl name ${JSON.stringify(name)}: not a path below /proc/sys`,
    );
  }
  return `/proc/sys/${name}`;
}
