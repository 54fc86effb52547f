import { basename, dirname, join } from "node:path/posix";

const MANIFEST_NAME = /^[^.].*\.(yaml|yml|json)$/i;
const MAX_DEPTH = 8;

/** How much a folder may hold. */
export const MAX_FILES = 10_000;

/** One manifest file of a folder. */
export interface FoundFile {
  /** Differs whenever the file is another or has been written. */
  readonly signature: string;
  /** Whether a symlink leads to it; then events name another path. */
  readonly isLink: boolean;
}

/** What a folder holds, and what to watch to hear of changes. */
export interface FolderListing {
  /** By path under the folder as it was given, sorted. */
  readonly files: ReadonlyMap<string, FoundFile>;
  /** Directories to watch by real path: each with its device and inode, for one may replace another. */
  readonly watched: ReadonlyMap<string, string>;
  /** Directories under the folder by real path, with the path that leads there. */
  readonly directories: ReadonlyMap<string, string>;
  /** Real path whose coming and going is that of the folder, or of a directory that leads to it. */
  readonly anchor: string;
  /** Real paths of directories outside the folder in which symlinks end. */
  readonly targets: ReadonlySet<string>;
  /** What kept parts of the folder from being read. */
  readonly faults: readonly { readonly path: string; readonly reason: string }[];
  /** Manifest files beyond {@linkcode MAX_FILES}; one fault speaks for them. */
  readonly skipped: ReadonlySet<string>;
}

/** Whether a file of this name is a manifest: `*.yaml`, `*.yml` or `*.json`, not hidden. */
export function isManifestName(name: string): boolean {
  return MANIFEST_NAME.test(name);
}

/**
 * Lists a folder's manifest files, in visible subfolders and through symlinks too, as the mounts of
 * ConfigMaps make them. A folder that is not there holds nothing; then its nearest ancestor that is
 * there is to be watched.
 */
export function scanFolder(folder: string): FolderListing {
  const scan = new Scan();
  scan.watchAnchor(folder);
  const real = realPath(folder);
  if (real !== undefined) scan.directory(folder, real, []);
  return scan.listing();
}

class Scan {
  readonly #files = new Map<string, FoundFile>();
  readonly #watched = new Map<string, string>();
  readonly #directories = new Map<string, string>();
  readonly #targets = new Set<string>();
  readonly #faults: { path: string; reason: string }[] = [];
  readonly #skipped = new Set<string>();
  #anchor = "/";

  listing(): FolderListing {
    const files = new Map([...this.#files].sort(([a], [b]) => (a < b ? -1 : 1)));
    return {
      files,
      watched: this.#watched,
      directories: this.#directories,
      anchor: this.#anchor,
      targets: this.#targets,
      faults: [...this.#faults, ...this.#tooMany()],
      skipped: this.#skipped,
    };
  }

  /** Watches the directory that the path is in, or the nearest one above it that exists. */
  watchAnchor(path: string): void {
    const real = realPath(dirname(path));
    if (real === undefined) return this.watchAnchor(dirname(path));
    this.#anchor = join(real, basename(path));
    this.#watch(real);
  }

  /** @param above real paths of the directories that led here: a loop of symlinks ends. */
  directory(path: string, real: string, above: readonly string[]): void {
    if (above.includes(real)) return;
    if (above.length >= MAX_DEPTH) {
      this.#faults.push({ path, reason: `deeper than ${MAX_DEPTH} folders: not read` });
      return;
    }
    this.#attempt(path, () => {
      this.#watch(real);
      this.#directories.set(real, path);
      for (const { name, isSymlink } of Deno.readDirSync(real)) {
        if (!name.startsWith(".")) this.#entry(join(path, name), isSymlink, [...above, real]);
      }
    });
  }

  #entry(path: string, isLink: boolean, above: readonly string[]): void {
    this.#attempt(path, () => {
      const real = isLink ? Deno.realPathSync(path) : join(above.at(-1) ?? "/", basename(path));
      const info = Deno.statSync(real);
      if (info.isDirectory) this.directory(path, real, above);
      else if (isManifestName(basename(path))) {
        if (this.#files.size >= MAX_FILES) {
          this.#skipped.add(path);
          return;
        }
        if (isLink) {
          this.#targets.add(dirname(real));
          this.#watch(dirname(real));
        }
        this.#files.set(path, { signature: signature(info), isLink });
      }
    });
  }

  #tooMany(): { path: string; reason: string }[] {
    const [path] = this.#skipped;
    if (path === undefined) return [];
    const reason =
      `more than ${MAX_FILES} files: ${this.#skipped.size} are not read, this one first`;
    return [{ path, reason }];
  }

  #watch(real: string): void {
    this.#attempt(real, () => {
      const { dev, ino } = Deno.statSync(real);
      this.#watched.set(real, `${dev}:${ino}`);
    });
  }

  /** What vanishes between two looks is gone; anything else is reported. */
  #attempt(path: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      this.#faults.push({ path, reason: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** @returns a text that differs whenever the file is another or has been written. */
export function signature(info: Deno.FileInfo): string {
  const { dev, ino, size, mtime, ctime } = info;
  return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(":");
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}
