import { basename } from "node:path";
import { getLogger } from "../../shared/log.ts";
import type { AttachmentKey } from "../state/mod.ts";

const log = getLogger("agent/spool");
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** A deletion that the CNI plugin wrote down while the agent did not answer. */
export interface SpooledDelete extends AttachmentKey {
  /** When it was asked for, Unix, milliseconds. */
  readonly unixMs: number;
}

/** What the spool does with an entry. It is tried again when this throws. */
export type SpoolHandler = (entry: SpooledDelete) => Promise<void>;

/** How long the spool waits before it tries again what failed. */
export interface SpoolRetry {
  /** The first time, in milliseconds; twice as long each time after that. */
  readonly firstMs: number;
  /** At most, in milliseconds. */
  readonly maxMs: number;
}

/**
 * Works off the deletions that the CNI plugin left in a directory, at start and whenever a file
 * appears. A file is removed when its deletion is done; one that fails is tried again, less and less
 * often; one that cannot be read as an entry gets the ending `.bad` and stays.
 */
export class Spool implements AsyncDisposable {
  readonly #dir: string;
  readonly #handle: SpoolHandler;
  readonly #retry: SpoolRetry;
  #retryMs: number;
  #retryTimer: number | undefined;
  #watcher: Deno.FsWatcher | undefined;
  #watching: Promise<void> | undefined;
  #work: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(
    dir: string,
    handle: SpoolHandler,
    retry: SpoolRetry = { firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS },
  ) {
    this.#dir = dir;
    this.#handle = handle;
    this.#retry = retry;
    this.#retryMs = retry.firstMs;
  }

  /** How many deletions wait. */
  get pending(): number {
    return this.#pending;
  }

  /** Where the plugin leaves them. */
  get dir(): string {
    return this.#dir;
  }

  /** Whether a file of the directory is, by its name, a deletion that waits. */
  isWaiting(name: string): boolean {
    return isEntry(name);
  }

  /** Begins to watch, and works off what is there. */
  async start(): Promise<void> {
    Deno.mkdirSync(this.#dir, { recursive: true, mode: 0o750 });
    this.#watcher = Deno.watchFs(this.#dir, { recursive: false });
    this.#watching = this.#watch(this.#watcher);
    await this.scan();
  }

  /** Works off what is there now. */
  scan(): Promise<void> {
    return this.#work = this.#work.then(() => this.#scan()).catch((error) => {
      log.error("cannot work off the spool", { dir: this.#dir, error });
      this.#retryLater();
    });
  }

  /** Tries what failed again now: something that may have been the cause has changed. */
  retryNow(): void {
    this.#retryMs = this.#retry.firstMs;
    if (this.#retryTimer !== undefined) this.scan();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher?.close();
    await this.#watching;
    await this.#work;
    clearTimeout(this.#retryTimer);
  }

  async #watch(watcher: Deno.FsWatcher): Promise<void> {
    for await (const { kind, paths } of watcher) {
      if (kind !== "access" && kind !== "remove" && paths.some(isEntry)) this.scan();
    }
  }

  async #scan(): Promise<void> {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    const names = [...Deno.readDirSync(this.#dir)].map(({ name }) => name).filter(isEntry).sort();
    this.#pending = names.length;
    for (const name of names) {
      if (await this.#workOff(`${this.#dir}/${name}`)) this.#pending--;
    }
    if (this.#pending > 0) this.#retryLater();
    else this.#retryMs = this.#retry.firstMs;
  }

  #retryLater(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.scan(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, this.#retry.maxMs);
  }

  async #workOff(path: string): Promise<boolean> {
    let entry: SpooledDelete;
    try {
      entry = parseEntry(Deno.readTextFileSync(path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return true;
      log.error("not a deferred deletion", { path, error });
      Deno.renameSync(path, `${path}.bad`);
      return true;
    }
    try {
      await this.#handle(entry);
      Deno.removeSync(path);
      return true;
    } catch (error) {
      log.error("deferred deletion failed", { path, error });
      return false;
    }
  }
}

function isEntry(path: string): boolean {
  const name = basename(path);
  return name.endsWith(".json") && !name.startsWith(".");
}

function parseEntry(text: string): SpooledDelete {
  const { container_id, if_name, unix_ms } = JSON.parse(text);
  if (typeof container_id !== "string" || container_id === "") {
    throw new TypeError("container_id is missing");
  }
  if (typeof if_name !== "string" || if_name === "") throw new TypeError("if_name is missing");
  if (typeof unix_ms !== "number") throw new TypeError("unix_ms is missing");
  return { containerId: container_id, ifName: if_name, unixMs: unix_ms };
}
