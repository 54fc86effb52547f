import { basename, dirname, join, resolve } from "node:path/posix";
import { type LastGoodTexts, type ManifestSnapshot, ManifestStore } from "../manifest_store.ts";
import { diffObjects } from "../snapshot.ts";
import { Debounce } from "./debounce.ts";
import { FolderWatcher } from "./folder_watcher.ts";
import { readManifestFile } from "./read_file.ts";
import {
  type FolderListing,
  type FoundFile,
  isManifestName,
  MAX_FILES,
  scanFolder,
} from "./scan.ts";

const QUIET_MS = 50;
const LONGEST_BURST_MS = 1000;
/** Scans until what is watched and what is found agree; a folder in turmoil pokes again. */
const MAX_SCANS = 5;

/** Options of `ManifestSource`. */
export interface ManifestSourceOptions {
  /** `manifests_dir`; need not exist. */
  readonly folder: string;
  /** Called with each new snapshot, one call at a time; what it throws goes to onError. */
  readonly onSnapshot: (snapshot: ManifestSnapshot) => void | Promise<void>;
  /** Called when the callback failed or the folder cannot be watched (which is tried again). */
  readonly onError: (error: unknown) => void;
  /** Keeps valid texts over restarts; without it an invalid file at start has no objects. */
  readonly lastGood?: LastGoodTexts;
}

/**
 * A folder of Kubernetes objects as the source of desired state. It is watched: changes to files,
 * symlinks and the folder itself, which may be missing, go and come back. A file that becomes
 * invalid stays in force as it last was, and the snapshot says what is wrong with it. At start,
 * when there is no last valid text, the objects of an invalid file are absent and the file stands
 * in `missing`.
 *
 * Needs read permission for the folder, its parent and whatever symlinks lead to.
 */
export class ManifestSource {
  readonly #folder: string;
  readonly #options: ManifestSourceOptions;
  readonly #store: ManifestStore;
  readonly #watcher: FolderWatcher;
  readonly #debounce = new Debounce(() => this.#enqueue(), QUIET_MS, LONGEST_BURST_MS);
  /** Files as they were last read. */
  readonly #signatures = new Map<string, string>();
  /** Places that events named since the last look; undefined: look everywhere. */
  #named: Set<string> | undefined;
  #listing: FolderListing | undefined;
  /** The folder's manifest files as far as they are known, and whether symlinks lead to them. */
  #found = new Map<string, FoundFile>();
  #work: Promise<void> = Promise.resolve();
  #delivered: ManifestSnapshot | undefined;
  #closed = false;

  constructor(options: ManifestSourceOptions) {
    this.#folder = resolve(options.folder);
    this.#options = options;
    this.#store = new ManifestStore(options.lastGood);
    this.#watcher = new FolderWatcher({
      changed: (paths) => this.#changed(paths),
      failed: (error) => options.onError(error),
    });
  }

  /** Reads the folder, delivers the first snapshot, and goes on watching. */
  start(): Promise<void> {
    return this.rescan();
  }

  /** Looks at the whole folder now, whatever events say; done when the callback is. */
  rescan(): Promise<void> {
    this.#named = undefined;
    this.#enqueue();
    return this.#work;
  }

  /** Stops watching; no callback runs after the promise is done. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#debounce.cancel();
    this.#watcher.close();
    await this.#work;
  }

  #changed(paths: readonly string[]): void {
    if (this.#closed) return;
    const known = paths.length > 0 ? paths.filter((path) => this.#concerns(path)) : undefined;
    if (known?.length === 0) return;
    for (const path of known ?? []) this.#name(path);
    if (known === undefined) this.#named = undefined;
    this.#debounce.poke();
  }

  /** Notes where an event was: at a place in a directory of the folder, else look everywhere. */
  #name(path: string): void {
    const { directories } = this.#listing ?? {};
    const directory = directories?.get(dirname(path));
    if (directory === undefined || directories?.has(path)) this.#named = undefined;
    else this.#named?.add(join(directory, basename(path)));
  }

  /** The directory above the folder is watched too; what else happens there is of no interest. */
  #concerns(path: string): boolean {
    const listing = this.#listing;
    if (listing === undefined || path === listing.anchor) return true;
    return [path, dirname(path)].some((place) =>
      listing.directories.has(place) || listing.targets.has(place)
    );
  }

  #enqueue(): void {
    this.#work = this.#work.then(() => this.#look()).catch(this.#options.onError);
  }

  async #look(): Promise<void> {
    if (this.#closed) return;
    const named = this.#named;
    this.#named = new Set();
    if (named === undefined || !this.#admit(named)) await this.#lookEverywhere();
    else for (const file of named) if (this.#found.has(file)) await this.#read(file);
    await this.#deliver();
  }

  /**
   * Takes new plain files among these places into account.
   * @returns false when only a look at the whole folder tells what happened: a directory or a symlink
   * is involved, or there are too many files.
   */
  #admit(named: ReadonlySet<string>): boolean {
    const isLinked = this.#found.values().some(({ isLink }) => isLink);
    if (isLinked || (this.#listing?.skipped.size ?? 0) > 0) return false;
    for (const place of named) {
      if (this.#found.has(place)) continue;
      const kind = kindOf(place);
      if (kind === "other" && !basename(place).startsWith(".")) return false;
      if (kind !== "file" || !isManifestName(basename(place))) continue;
      if (this.#found.size >= MAX_FILES) return false;
      this.#found.set(place, { signature: "", isLink: false });
    }
    return true;
  }

  async #lookEverywhere(): Promise<void> {
    let listing = scanFolder(this.#folder);
    for (let scans = 1; this.#watcher.watch(listing.watched) && scans < MAX_SCANS; scans++) {
      listing = scanFolder(this.#folder);
    }
    this.#listing = listing;
    this.#found = new Map(listing.files);
    const faults = listing.faults.map(({ path, reason }) => ({
      file: path,
      line: 0,
      path: "",
      value: undefined,
      reason,
    }));
    this.#store.setFolderErrors(faults);
    // What cannot be looked at is not known to be gone.
    const isHidden = (file: string) =>
      listing.skipped.has(file) ||
      listing.faults.some(({ path }) => file === path || file.startsWith(`${path}/`));
    for (const file of this.#store.files()) {
      if (!listing.files.has(file) && !isHidden(file)) this.#forget(file);
    }
    for (const [file, { signature }] of listing.files) {
      if (this.#signatures.get(file) !== signature) await this.#read(file);
    }
  }

  async #read(file: string): Promise<void> {
    const read = await readManifestFile(file);
    if (read === undefined) {
      this.#forget(file);
      return;
    }
    this.#signatures.set(file, read.signature);
    if (read.text !== undefined) this.#store.setFile(file, read.text);
    else this.#store.setUnreadable(file, read.reason);
    if (read.isUnsettled) this.#changed([]);
  }

  #forget(file: string): void {
    this.#signatures.delete(file);
    this.#found.delete(file);
    this.#store.removeFile(file);
  }

  async #deliver(): Promise<void> {
    const snapshot = this.#store.snapshot();
    if (this.#closed || isSame(this.#delivered, snapshot)) return;
    this.#delivered = snapshot;
    await this.#options.onSnapshot(snapshot);
  }
}

function kindOf(path: string): "file" | "other" | "nothing" {
  try {
    return Deno.lstatSync(path).isFile ? "file" : "other";
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? "nothing" : "other";
  }
}

function isSame(before: ManifestSnapshot | undefined, now: ManifestSnapshot): boolean {
  if (before === undefined) return false;
  const { pods, namespaces, policies } = diffObjects(before, now);
  const changed = [pods, namespaces, policies].some(({ upserted, removed }) =>
    upserted.length + removed.length > 0
  );
  return !changed && problemsOf(before) === problemsOf(now);
}

function problemsOf({ errors, warnings, held, missing }: ManifestSnapshot): string {
  return JSON.stringify([errors, warnings, held, missing]);
}
