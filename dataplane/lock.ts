/** Two dataplanes never share a pin directory or a socket. */

import { dirname } from "node:path";

/** Another process holds what this one needs. */
export class LockedError extends Error {
  override readonly name = "LockedError";

  /** @param path What is held. @param pid The holder, where that is known. */
  constructor(readonly path: string, readonly pid: number | undefined) {
    const holder = pid === undefined ? "another novanet-dataplane" : `process ${pid}`;
    super(`${path} is in use by ${holder}`);
  }
}

/** Locks that the kernel takes back when the process ends, however it ends. */
export class InstanceLock implements Disposable {
  readonly #files: readonly Deno.FsFile[];

  private constructor(paths: readonly [path: string, options: Deno.OpenOptions][]) {
    using stack = new DisposableStack();
    this.#files = paths.map(([path, options]) => stack.use(openLocked(path, options)));
    stack.move();
  }

  /**
   * Takes the locks of an existing pin directory and of a socket's path.
   *
   * @throws LockedError
   */
  static take(pinDir: string, socket: string): InstanceLock {
    const path = socketLockPath(socket);
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    const lock = new InstanceLock([
      [pinDir, { read: true }],
      [path, { read: true, write: true, create: true, mode: 0o600 }],
    ]);
    const file = lock.#files.at(-1);
    file?.truncateSync(0);
    file?.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
    return lock;
  }

  /** As `take`, but of those of the two that are there; nothing is made. @throws LockedError */
  static takeExisting(pinDir: string, socket: string): InstanceLock {
    const paths = [pinDir, socketLockPath(socket)].filter(exists);
    return new InstanceLock(paths.map((path) => [path, { read: true }]));
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file.close();
  }
}

/** The file that is locked for a socket: the socket itself is made anew at each start. */
export function socketLockPath(socket: string): string {
  return `${socket}.lock`;
}

function openLocked(path: string, options: Deno.OpenOptions): Deno.FsFile {
  const file = Deno.openSync(path, options);
  if (file.tryLockSync(true)) return file;
  using _held = file;
  throw new LockedError(path, file.statSync().isFile ? readPid(file) : undefined);
}

function readPid(file: Deno.FsFile): number | undefined {
  const bytes = new Uint8Array(16);
  const count = file.readSync(bytes) ?? 0;
  const pid = Number(new TextDecoder().decode(bytes.subarray(0, count)));
  return pid > 0 ? pid : undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
