/** Two dataplanes never share a pin directory or a socket. */

import { dirname } from "node:path";
import type { Fd } from "../shared/ffi/fd.ts";
import { exists, rmdir, tryLock, unlink } from "../shared/ffi/files.ts";
import { O_RDONLY, open } from "../shared/ffi/sys.ts";
import { isSameFile, lockHolder } from "./lock_holder.ts";
import { preparePinDir } from "./preflight.ts";

const LOCK_SUFFIX = ".lock";

/** Another process holds what this one needs. */
export class LockedError extends Error {
  override readonly name = "LockedError";

  /** @param path What is held: a pin directory or a socket. @param pid The holder, where that is known. */
  constructor(readonly path: string, readonly pid: number | undefined) {
    const holder = pid === undefined ? "" : ` (process ${pid})`;
    super(`${path} is in use by another novanet-dataplane${holder}`);
  }
}

/** No pin directory can be had on this machine. */
export class PinDirError extends Error {
  override readonly name = "PinDirError";
}

/** Something to lock, and how it comes to be and goes. */
interface Lockable {
  /** What is opened and locked. */
  readonly path: string;
  /** What a person knows it as. */
  readonly shown: string;
  make(): void;
  /** Throws when what is there already is of no use. */
  check?(): void;
  remove(): void;
}

/** Locks that the kernel takes back when the process ends, however it ends. */
export class InstanceLock implements Disposable {
  readonly #files: DisposableStack;

  private constructor(files: DisposableStack) {
    this.#files = files;
  }

  /**
   * Takes the locks of a pin directory and of a socket's path, and makes what of the two is not there.
   * Nothing is made while another has one of them, nor left when making fails.
   *
   * @throws LockedError, PinDirError, SysError
   */
  static take(pinDir: string, socket: string): InstanceLock {
    using made = new DisposableStack();
    using files = new DisposableStack();
    const lockables = lockablesOf(pinDir, socket);
    const missing = lockables.filter((lockable) => !exists(lockable.path));
    for (const lockable of lockables) {
      if (missing.includes(lockable)) continue;
      files.use(openLocked(lockable));
      lockable.check?.();
    }
    for (const lockable of missing) {
      lockable.make();
      // Only what is locked is taken away again: another may have it since.
      files.use(openLocked(lockable));
      made.defer(() => lockable.remove());
    }
    made.move();
    return new InstanceLock(files.move());
  }

  /** As `take`, but of those of the two that are there; nothing is made. @throws LockedError, SysError */
  static takeExisting(pinDir: string, socket: string): InstanceLock {
    using files = new DisposableStack();
    for (const lockable of lockablesOf(pinDir, socket)) {
      if (exists(lockable.path)) files.use(openLocked(lockable));
    }
    return new InstanceLock(files.move());
  }

  [Symbol.dispose](): void {
    this.#files.dispose();
  }
}

/** The file that is locked for a socket: the socket itself is made anew at each start. */
export function socketLockPath(socket: string): string {
  return `${socket}${LOCK_SUFFIX}`;
}

function lockablesOf(pinDir: string, socket: string): readonly Lockable[] {
  const lockPath = socketLockPath(socket);
  const prepare = () => {
    const problem = preparePinDir(pinDir);
    if (problem !== undefined) throw new PinDirError(problem);
  };
  return [
    {
      path: pinDir,
      shown: pinDir,
      make: prepare,
      check: prepare,
      remove: () => rmdir(pinDir),
    },
    {
      path: lockPath,
      shown: socket,
      make() {
        Deno.mkdirSync(dirname(lockPath), { recursive: true, mode: 0o750 });
        Deno.writeTextFileSync(lockPath, "", { mode: 0o600, create: true });
      },
      remove: () => void unlink(lockPath),
    },
  ];
}

/** The lock of a file that was taken away between opening and locking is worth nothing. */
function openLocked({ path, shown }: Lockable): Fd {
  using stack = new DisposableStack();
  const file = stack.use(open(path, O_RDONLY));
  if (!tryLock(file)) throw new LockedError(shown, lockHolder(file.fd));
  using again = open(path, O_RDONLY);
  if (!isSameFile(file.fd, again.fd)) throw new LockedError(shown, undefined);
  stack.move();
  return file;
}
