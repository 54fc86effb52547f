const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;
/** Deno keeps so many events for a reader that is not there yet, and drops further ones silently. */
const EVENT_QUEUE_LENGTH = 16;
/** Longer than it takes to read them all. */
const BURST_MS = 5000;

/** What a `FolderWatcher` reports to. */
export interface WatchListener {
  /** Something happened at these paths; empty: somewhere, look everywhere. */
  changed(paths: readonly string[]): void;
  /** The directories cannot be watched; it is tried again, with a call of `changed`. */
  failed(error: unknown): void;
}

/** Watches a set of directories that changes; not what is below them. */
export class FolderWatcher {
  readonly #listener: WatchListener;
  #watcher: Deno.FsWatcher | undefined;
  #watched: ReadonlyMap<string, string> = new Map();
  #retryMs = FIRST_RETRY_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** When the latest events were read, as many as fit into the queue. */
  readonly #times: number[] = [];

  constructor(listener: WatchListener) {
    this.#listener = listener;
  }

  /**
   * Watches these directories and no others.
   * @param directories real paths, each with its device and inode.
   * @returns whether it was watching others: then what happened before is not known.
   */
  watch(directories: ReadonlyMap<string, string>): boolean {
    if (this.#watcher !== undefined && isSame(directories, this.#watched)) return false;
    this.#stop();
    try {
      const watcher = Deno.watchFs([...directories.keys()], { recursive: false });
      this.#watcher = watcher;
      this.#watched = directories;
      this.#retryMs = FIRST_RETRY_MS;
      this.#follow(watcher);
    } catch (error) {
      // A directory that went between the scan and now: the scan after this finds it gone.
      if (!(error instanceof Deno.errors.NotFound)) this.#listener.failed(error);
      this.#retryLater();
    }
    return true;
  }

  /** Stops. Idempotent. */
  close(): void {
    this.#stop();
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind, paths, flag } of watcher) {
        const isBurst = this.#isBurst();
        // Reading is an access, ours too.
        if (kind === "access" && !isBurst) continue;
        this.#listener.changed(flag === "rescan" || isBurst ? [] : paths);
      }
    } catch (error) {
      if (watcher !== this.#watcher) return;
      this.#listener.failed(error);
      this.#stop();
      this.#retryLater();
    }
  }

  /** Whether so many events came that others may have been dropped. */
  #isBurst(): boolean {
    const now = performance.now();
    this.#times.push(now);
    if (this.#times.length > EVENT_QUEUE_LENGTH) this.#times.shift();
    return this.#times.length === EVENT_QUEUE_LENGTH && now - (this.#times[0] ?? 0) < BURST_MS;
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => this.#listener.changed([]), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #stop(): void {
    clearTimeout(this.#retry);
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, inode]) => b.get(path) === inode);
}
