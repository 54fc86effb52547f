/** `--cleanup`: takes away all that dataplanes with this pin directory and socket made. */

import { detachClsact } from "../shared/ffi/bpf.ts";
import { isErrno } from "../shared/ffi/errno.ts";
import { exists, listDir, readText, rmdir, unlink } from "../shared/ffi/files.ts";
import { ifIndextoname, umount } from "../shared/ffi/sys.ts";
import { RtnetlinkSocket } from "../shared/netlink/mod.ts";
import { POD_FATES, type PodFate } from "./flags.ts";
import { InstanceLock, socketLockPath } from "./lock.ts";
import { BPFFS_PATH, BPFFS_SOURCE } from "./preflight.ts";
import { DIRECTIONS } from "./programs/attachments.ts";
import { openLink, queryFilter } from "./programs/hooks.ts";
import { listPins, type PinListing, pinnedProgramIds } from "./programs/pins.ts";
import { type RunningPod, runningPods } from "./running_pods.ts";

/** What the kernel itself puts into each bpffs. */
const KERNEL_FILES: ReadonlySet<string> = new Set(["maps.debug", "progs.debug"]);

/** What to clean up. */
export interface CleanupOptions {
  readonly pinDir: string;
  readonly socket: string;
  /** Must be told when pods run. */
  readonly pods: PodFate | undefined;
}

/** Pods run with the programs that are to go, and nobody said what becomes of them. Nothing was changed. */
export class PodsRunError extends Error {
  override readonly name = "PodsRunError";

  constructor(readonly pods: readonly RunningPod[]) {
    super(
      [
        `${pods.length === 1 ? "1 pod still runs" : `${pods.length} pods still run`} here:`,
        ...pods.map((pod) => `  ${podText(pod)}`),
        "Nothing was changed. Remove them first, or say what is to become of them:",
        ...Object.entries(POD_FATES).map(([fate, text]) => `  --pods=${fate.padEnd(10)}  ${text}`),
      ].join("\n"),
    );
  }
}

/**
 * Detaches programs, removes pins, the pin directory, the socket and a bpf file system that a dataplane
 * mounted and that is empty now. A second call finds nothing to do.
 *
 * @returns One line for each thing that it removed, or found and left.
 * @throws LockedError while a dataplane runs; PodsRunError; SysError
 */
export function cleanUp(options: CleanupOptions): string[] {
  const removed = removeAll(options);
  if (unmountOwn()) removed.push(`unmounted ${BPFFS_PATH}`);
  return removed;
}

/** Lets go of the pin directory at its end: nothing can be unmounted before. */
function removeAll({ pinDir, socket, pods: fate }: CleanupOptions): string[] {
  using _lock = InstanceLock.takeExisting(pinDir, socket);
  const pins = listPins(pinDir);
  const pods = runningPods(pinDir, pins);
  if (pods.length > 0 && fate === undefined) throw new PodsRunError(pods);
  const removed = [
    // Before the programs go: there is no moment without policy.
    ...pods.map((pod) => fate === "isolate" ? isolate(pod) : unfilter(pod)),
    ...detachLinks(pinDir, pins),
    ...detachFilters(pinDir),
    ...removePins(pinDir, pins),
  ];
  for (const path of [socket, socketLockPath(socket)]) {
    if (unlink(path)) removed.push(`removed ${path}`);
  }
  if (removeDirectory(pinDir)) removed.push(`removed ${pinDir}`);
  return [...removed, ...pins.others.map((file) => `left ${pinDir}/${file}, which is not ours`)];
}

function podText({ name, ip, interfaceName }: RunningPod): string {
  return `${name === "" ? "pod" : name} (${ip}, ${interfaceName})`;
}

function isolate(pod: RunningPod): string {
  using links = RtnetlinkSocket.openIn();
  links.linkSet(pod.ifindex, { up: false });
  return `${podText(pod)} has no network any more`;
}

function unfilter(pod: RunningPod): string {
  return `${podText(pod)} keeps its network, and no policy holds for it any more`;
}

function detachLinks(pinDir: string, { links }: PinListing): string[] {
  const lines: string[] = [];
  for (const { file, direction } of links) {
    const path = `${pinDir}/${file}`;
    using link = openLink(path);
    const ifindex = link?.info().ifindex ?? 0;
    if (ifindex !== 0) {
      link?.detach();
      lines.push(`detached ${direction} program from ${nameOf(ifindex)}`);
    }
    unlink(path);
  }
  return lines;
}

/** Filters of other dataplanes have other programs. */
function detachFilters(pinDir: string): string[] {
  const ours = pinnedProgramIds(pinDir);
  if (ours.size === 0) return [];
  using links = RtnetlinkSocket.openIn();
  const lines: string[] = [];
  for (const { index, name } of links.linkList()) {
    for (const direction of DIRECTIONS) {
      const programId = queryFilter(index, direction);
      if (programId === undefined || !ours.has(programId)) continue;
      detachClsact(index, direction, { removeQdisc: true });
      lines.push(`detached ${direction} filter from ${name}`);
    }
  }
  return lines;
}

function removePins(pinDir: string, { maps, programs, seals }: PinListing): string[] {
  const files = [...programs, ...maps].map(({ file }) => file);
  for (const file of files) unlink(`${pinDir}/${file}`);
  for (const { file } of seals) rmdir(`${pinDir}/${file}`);
  return files.map((file) => `removed ${pinDir}/${file}`);
}

function nameOf(ifindex: number): string {
  try {
    return ifIndextoname(ifindex);
  } catch (error) {
    // In another network namespace than this one.
    if (isErrno(error, "ENXIO")) return `interface ${ifindex}`;
    throw error;
  }
}

function unmountOwn(): boolean {
  const mounts = readText("/proc/self/mountinfo").split("\n");
  const own = mounts.some((line) =>
    line.split(" ")[4] === BPFFS_PATH && line.includes(` - bpf ${BPFFS_SOURCE} `)
  );
  const used = listDir(BPFFS_PATH).some((name) => !KERNEL_FILES.has(name));
  if (!own || used) return false;
  try {
    umount(BPFFS_PATH);
    return true;
  } catch (error) {
    if (isErrno(error, "EBUSY")) return false;
    throw error;
  }
}

/** A directory that holds what is not ours stays. */
function removeDirectory(path: string): boolean {
  if (!exists(path) || listDir(path).length > 0) return false;
  rmdir(path);
  return true;
}
