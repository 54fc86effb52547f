/** Another agent already works on the state directory. */
export class StateLockedError extends Error {
  override readonly name = "StateLockedError";

  /** @param owner what the lock file says about its holder, "" when it says nothing */
  constructor(readonly dir: string, readonly owner: string) {
    super(`Cannot use state directory ${JSON.stringify(dir)}: another agent has it${owner}`);
  }
}

/**
 * Holds a state directory for one process: a flock on `agent.lock`, which the kernel drops with the
 * process, however that ends.
 */
export class StateLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** @throws {StateLockedError} when another process holds it */
  static acquire(dir: string): StateLock {
    const path = `${dir}/agent.lock`;
    const file = Deno.openSync(path, { create: true, read: true, write: true, mode: 0o600 });
    if (!file.tryLockSync(true)) {
      file.close();
      const pid = Deno.readTextFileSync(path).trim();
      throw new StateLockedError(dir, pid === "" ? "" : ` (process ${pid})`);
    }
    file.truncateSync();
    file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
    return new StateLock(file);
  }

  [Symbol.dispose](): void {
    this.#file.unlockSync();
    this.#file.close();
  }
}
