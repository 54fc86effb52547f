/** What the machine must have before anything is loaded, said in one line each. */

import { effectiveCapabilities, mount, statfsMagic } from "../shared/ffi/sys.ts";
import { isErrno } from "../shared/ffi/errno.ts";
import { exists, mkdir, readText } from "../shared/ffi/files.ts";

/** The least kernel that is supported. */
export const LEAST_KERNEL = { major: 6, minor: 1 } as const;

/** Where bpffs belongs; elsewhere the dataplane mounts nothing. */
export const BPFFS_PATH = "/sys/fs/bpf";

/** The source of a bpffs that the dataplane mounted: `--cleanup` knows it by that. */
export const BPFFS_SOURCE = "novanet-bpf";

const BPF_FS_MAGIC = 0xcafe4a11;

const LOCKDOWN = "/sys/kernel/security/lockdown";

/** Bits of linux/capability.h. */
const CAP_NET_ADMIN = 12;
const CAP_SYS_ADMIN = 21;
const CAP_PERFMON = 38;
const CAP_BPF = 39;

/** What was found out about the machine. */
export interface MachineFacts {
  /** As `uname -r` says it. */
  readonly kernelRelease: string;
  /** Whether /sys/kernel/btf/vmlinux is there. */
  readonly btf: boolean;
  /** /sys/kernel/security/lockdown, or "" where that is not there. */
  readonly lockdown: string;
  /** The effective set. */
  readonly capabilities: bigint;
}

/** What is missing, one line each; empty when all is there. Pure. */
export function missing(facts: MachineFacts): string[] {
  return [
    ...missingKernel(facts.kernelRelease),
    ...facts.btf ? [] : ["no BTF: /sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF=y)"],
    ...facts.lockdown.includes("[confidentiality]")
      ? ["kernel lockdown is in confidentiality mode, which forbids what eBPF programs do"]
      : [],
    ...missingCapabilities(facts.capabilities),
  ];
}

/** Asks the machine. @throws SysError */
export function readMachineFacts(): MachineFacts {
  return {
    kernelRelease: Deno.osRelease(),
    btf: exists("/sys/kernel/btf/vmlinux"),
    lockdown: exists(LOCKDOWN) ? readText(LOCKDOWN) : "",
    capabilities: effectiveCapabilities(),
  };
}

/**
 * Makes sure that the pin directory is on a bpf file system: mounts one at {@linkcode BPFFS_PATH} when the
 * directory is to be below it and none is there, and makes the directory.
 *
 * @returns What is missing, as one line, or undefined.
 */
export function preparePinDir(pinDir: string): string | undefined {
  try {
    if (isBelow(pinDir, BPFFS_PATH) && !isBpffs(BPFFS_PATH)) {
      mount(BPFFS_SOURCE, BPFFS_PATH, "bpf");
    }
    if (!isBpffs(nearestExisting(pinDir))) {
      // Not at the nearest folder that is there: what else is in that would be hidden.
      return `${pinDir} is not on a bpf file system: mount one with ` +
        `"mkdir -p ${pinDir} && mount -t bpf bpf ${pinDir}"`;
    }
    makeFolders(pinDir);
    return undefined;
  } catch (error) {
    return `cannot prepare ${pinDir}: ${error instanceof Error ? error.message : error}`;
  }
}

function missingKernel(release: string): string[] {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  const number = Number(major) * 1000 + Number(minor);
  if (number >= LEAST_KERNEL.major * 1000 + LEAST_KERNEL.minor) return [];
  return [`kernel ${release} is older than ${LEAST_KERNEL.major}.${LEAST_KERNEL.minor}`];
}

function missingCapabilities(set: bigint): string[] {
  const has = (bit: number) => (set >> BigInt(bit) & 1n) === 1n;
  // Before CAP_BPF and CAP_PERFMON were split off, CAP_SYS_ADMIN stood for both; it still does.
  const wanted: [name: string, present: boolean][] = [
    ["CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN)],
    ["CAP_PERFMON", has(CAP_PERFMON) || has(CAP_SYS_ADMIN)],
    ["CAP_NET_ADMIN", has(CAP_NET_ADMIN)],
  ];
  return wanted.filter(([, present]) => !present).map(([name]) => `capability ${name} is missing`);
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function isBpffs(path: string): boolean {
  try {
    // The number comes as a signed one where the kernel's type is.
    return statfsMagic(path) >>> 0 === BPF_FS_MAGIC;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function makeFolders(path: string): void {
  if (exists(path)) return;
  makeFolders(path.slice(0, path.lastIndexOf("/")) || "/");
  mkdir(path, 0o700);
}

function nearestExisting(path: string): string {
  for (let at = path;; at = at.slice(0, at.lastIndexOf("/")) || "/") {
    if (at === "/" || exists(at)) return at;
  }
}
