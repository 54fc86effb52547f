/**
 * Runs work once for all who ask while it waits to begin: whoever asks gets a run that begins after the
 * question. At most one run goes on at a time.
 */
export class Coalesced {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** A run that begins after this call. @throws what the work throws */
  run(): Promise<void> {
    return this.#next ??= this.#after(this.#running);
  }

  async #after(running: Promise<void> | undefined): Promise<void> {
    // The failure of the run before is its callers' business.
    await running?.catch(() => {});
    this.#running = this.#next;
    this.#next = undefined;
    await this.#work();
  }
}
