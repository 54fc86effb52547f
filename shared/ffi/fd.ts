/** An owned file descriptor. */
import { UseAfterCloseError } from "./errno.ts";
import { shim } from "./library.ts";

/** Owns one file descriptor: closes it once, and refuses to be used after that. */
export class Fd implements Disposable {
  #fd: number;

  /**
   * @param fd the descriptor; from here on it belongs to this object
   * @param what names it in errors
   */
  constructor(fd: number, readonly what = "file descriptor") {
    this.#fd = fd;
  }

  /** @throws UseAfterCloseError after close() or take() */
  get fd(): number {
    if (this.#fd < 0) throw new UseAfterCloseError(this.what);
    return this.#fd;
  }

  /** Has close() or take() been called? */
  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Gives the descriptor away: the caller closes it. @throws UseAfterCloseError when it is gone */
  take(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  /** Closes the descriptor; a second call does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    // Linux frees the descriptor whatever close() answers.
    shim().nv_close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
