import { basename, dirname, join, resolve } from "node:path/posix";
import { type LastGoodTexts, type ManifestSnapshot, ManifestStore } from "../manifest_store.ts";
import { diffObjects } from "../snapshot.ts";
import { Debounce } from "./debounce.ts";
import { FolderWatcher } from "./folder_watcher.ts";
import { readManifestFile } from "./read_file.ts";
import { type FolderListing, isManifestName, scanFolder } from "./scan.ts";

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
  /** Paths that events named since the last look; undefined: look everywhere. */
  #named: Set<string> | undefined;
  #listing: FolderListing | undefined;
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
    for (const path of known ?? []) {
      const file = this.#plainFile(path);
      if (file === undefined) this.#named = undefined;
      else this.#named?.add(file);
    }
    if (known === undefined) this.#named = undefined;
    this.#debounce.poke();
  }

  /** The directory above the folder is watched too; what else happens there is of no interest. */
  #concerns(path: string): boolean {
    const listing = this.#listing;
    if (listing === undefined || path === listing.anchor) return true;
    return [path, dirname(path)].some((place) =>
      listing.directories.has(place) || listing.targets.has(place)
    );
  }

  /** @returns the manifest's path when an event's path can only mean one plain file. */
  #plainFile(path: string): string | undefined {
    const directory = this.#listing?.directories.get(dirname(path));
    if (directory === undefined || !isManifestName(basename(path))) return undefined;
    const file = join(directory, basename(path));
    return this.#listing?.files.get(file)?.isLink === false ? file : undefined;
  }

  #enqueue(): void {
    this.#work = this.#work.then(() => this.#look()).catch(this.#options.onError);
  }

  async #look(): Promise<void> {
    if (this.#closed) return;
    const named = this.#named;
    this.#named = new Set();
    if (named === undefined) await this.#lookEverywhere();
    else for (const file of named) await this.#read(file);
    await this.#deliver();
  }

  async #lookEverywhere(): Promise<void> {
    let listing = scanFolder(this.#folder);
    for (let scans = 1; this.#watcher.watch(listing.watched) && scans < MAX_SCANS; scans++) {
      listing = scanFolder(this.#folder);
    }
    this.#listing = listing;
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
    this.#store.removeFile(file);
  }

  async #deliver(): Promise<void> {
    const snapshot = this.#store.snapshot();
    if (this.#closed || isSame(this.#delivered, snapshot)) return;
    this.#delivered = snapshot;
    await this.#options.onSnapshot(snapshot);
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
