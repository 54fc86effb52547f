/**
 * Runs work once for all who ask while it waits to begin: whoever asks gets a run that begins after the
 * question. At most one run goes on at a time.
 */
export class Coalesced<T = void> {
  readonly #work: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(work: () => Promise<T>) {
    this.#work = work;
  }

  /** What a run gives that begins after this call. @throws what the work throws */
  run(): Promise<T> {
    return this.#next ??= this.#after(this.#running);
  }

  async #after(running: Promise<T> | undefined): Promise<T> {
    // The failure of the run before is its callers' business.
    await running?.catch(() => {});
    this.#running = this.#next;
    this.#next = undefined;
    return await this.#work();
  }
}
