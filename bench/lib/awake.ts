/**
 * Keeps all processors from halting while it lives: one process each that runs only when nothing else wants to
 * (SCHED_IDLE). A virtual processor that halts takes its host tens of microseconds to wake, now and then or each time, and
 * then that is what a throughput or a latency measures.
 */
export class ProcessorsAwake implements AsyncDisposable {
  readonly #spinners: readonly Deno.ChildProcess[];

  constructor() {
    this.#spinners = Array.from(
      { length: navigator.hardwareConcurrency },
      (_, cpu) =>
        new Deno.Command("taskset", {
          args: ["-c", String(cpu), "chrt", "--idle", "0", "sh", "-c", "while :; do :; done"],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).spawn(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const spinner of this.#spinners) spinner.kill("SIGKILL");
    await Promise.all(this.#spinners.map(({ status }) => status));
  }
}
