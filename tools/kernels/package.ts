/** Debian's kernels, downloaded and unpacked in the user's cache; nothing is installed. */

import { join } from "node:path";
import { command } from "../build/command.ts";

/** An unpacked kernel. */
export interface KernelPackage {
  /** What `uname -r` says under it. */
  readonly release: string;
  /** Holds boot/ and lib/modules/. */
  readonly root: string;
}

/** Packages of one kind of kernel: 64-bit PCs, signed, neither cloud (which lacks 9p) nor real-time. */
const PACKAGE = /^linux-image-(\d+\.\d+\.\S*?-amd64)$/;

/**
 * The newest kernel of a series that apt knows.
 *
 * @param series such as `6.1`
 * @param cache where kernels are kept
 * @throws {CommandError} apt's or dpkg's
 */
export async function fetchKernel(series: string, cache: string): Promise<KernelPackage> {
  const release = await newest(series);
  const root = join(cache, release);
  if (await exists(join(root, "boot", `vmlinuz-${release}`))) return { release, root };
  const fresh = `${root}.new`;
  await Deno.remove(fresh, { recursive: true }).catch(() => {});
  await Deno.mkdir(fresh, { recursive: true });
  await command(["apt-get", "download", "-q", `linux-image-${release}`], { cwd: fresh });
  const [archive] = [...Deno.readDirSync(fresh)].map(({ name }) => name);
  if (archive === undefined) throw new Error(`apt-get download left no file in ${fresh}`);
  await command(["dpkg-deb", "-x", join(fresh, archive), fresh]);
  await Deno.remove(join(fresh, archive));
  await Deno.remove(root, { recursive: true }).catch(() => {});
  await Deno.rename(fresh, root);
  return { release, root };
}

async function newest(series: string): Promise<string> {
  const pattern = `^linux-image-${series.replaceAll(".", "\\.")}\\..*-amd64$`;
  const listed = await command(["apt-cache", "pkgnames", `linux-image-${series}`]);
  const releases = listed.split("\n").filter((name) => new RegExp(pattern).test(name))
    .filter((name) => !/-(cloud|rt)-amd64$/.test(name))
    .flatMap((name) => PACKAGE.exec(name)?.[1] ?? []);
  const [release] = releases.toSorted(byVersion).toReversed();
  if (release === undefined) throw new Error(`apt knows no kernel ${series}; run apt-get update`);
  return release;
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
