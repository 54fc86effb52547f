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

  private constructor(files: readonly Deno.FsFile[]) {
    this.#files = files;
  }

  /**
   * Takes the locks of an existing pin directory and of a socket's path.
   *
   * @throws LockedError
   */
  static take(pinDir: string, socket: string): InstanceLock {
    using stack = new DisposableStack();
    const files = [openLocked(pinDir, { read: true }), openSocketLock(socket)]
      .map((file) => stack.use(file));
    stack.move();
    return new InstanceLock(files);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file.close();
  }
}

/** The file that is locked for a socket: the socket itself is made anew at each start. */
export function socketLockPath(socket: string): string {
  return `${socket}.lock`;
}

function openSocketLock(socket: string): Deno.FsFile {
  const path = socketLockPath(socket);
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  const file = openLocked(path, { read: true, write: true, create: true, mode: 0o600 });
  file.truncateSync(0);
  file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  return file;
}

function openLocked(path: string, options: Deno.OpenOptions): Deno.FsFile {
  const file = Deno.openSync(path, options);
  if (file.tryLockSync(true)) return file;
  const bytes = new Uint8Array(16);
  const count = options.write ? file.readSync(bytes) ?? 0 : 0;
  file.close();
  const pid = Number(new TextDecoder().decode(bytes.subarray(0, count)).trim());
  throw new LockedError(path, pid > 0 ? pid : undefined);
}
