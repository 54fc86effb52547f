/** Two dataplanes never share a pin directory or a socket. */

import { dirname } from "node:path";
import type { Fd } from "../shared/ffi/fd.ts";
import { exists, tryLock } from "../shared/ffi/files.ts";
import { O_RDONLY, open, read } from "../shared/ffi/sys.ts";

const LOCK_SUFFIX = ".lock";

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
  readonly #files: readonly Fd[];

  private constructor(paths: readonly string[]) {
    using stack = new DisposableStack();
    this.#files = paths.map((path) => stack.use(openLocked(path)));
    stack.move();
  }

  /**
   * Takes the locks of an existing pin directory and of a socket's path.
   *
   * @throws LockedError, SysError
   */
  static take(pinDir: string, socket: string): InstanceLock {
    const path = socketLockPath(socket);
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    if (!exists(path)) Deno.writeTextFileSync(path, "", { mode: 0o600, create: true });
    const lock = new InstanceLock([pinDir, path]);
    Deno.writeTextFileSync(path, `${Deno.pid}\n`);
    return lock;
  }

  /** As `take`, but of those of the two that are there; nothing is made. @throws LockedError, SysError */
  static takeExisting(pinDir: string, socket: string): InstanceLock {
    return new InstanceLock([pinDir, socketLockPath(socket)].filter(exists));
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file.close();
  }
}

/** The file that is locked for a socket: the socket itself is made anew at each start. */
export function socketLockPath(socket: string): string {
  return `${socket}${LOCK_SUFFIX}`;
}

function openLocked(path: string): Fd {
  using stack = new DisposableStack();
  const file = stack.use(open(path, O_RDONLY));
  if (!tryLock(file)) {
    throw new LockedError(path, path.endsWith(LOCK_SUFFIX) ? readPid(file) : undefined);
  }
  stack.move();
  return file;
}

function readPid(file: Fd): number | undefined {
  const bytes = new Uint8Array(16);
  const count = read(file.fd, bytes);
  const pid = Number(new TextDecoder().decode(bytes.subarray(0, count)));
  return pid > 0 ? pid : undefined;
}
