/** Calls back once after a burst: when it has been quiet for a while, or has gone on for long. */
export class Debounce {
  readonly #callback: () => void;
  readonly #quietMs: number;
  readonly #longestMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #deadline = 0;

  /**
   * @param quietMs milliseconds without a call before the callback.
   * @param longestMs milliseconds from a burst's first call after which it is called anyway.
   */
  constructor(callback: () => void, quietMs: number, longestMs: number) {
    this.#callback = callback;
    this.#quietMs = quietMs;
    this.#longestMs = longestMs;
  }

  /** Notes that something happened. */
  poke(): void {
    const now = performance.now();
    if (this.#timer === undefined) this.#deadline = now + this.#longestMs;
    else clearTimeout(this.#timer);
    const delayMs = Math.max(0, Math.min(this.#quietMs, this.#deadline - now));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#callback();
    }, delayMs);
  }

  /** Forgets what happened; nothing is called any more until the next poke. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
