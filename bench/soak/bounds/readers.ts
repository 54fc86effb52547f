import { join } from "node:path";
import type { RunningCommand } from "../../../shared/testing/command.ts";
import { eventually } from "../../../shared/testing/eventually.ts";
import type { NetnsLab } from "../../../shared/testing/lab.ts";
import type { LabNode } from "../../../shared/testing/node.ts";
import type { Seen } from "./subscribers.ts";

/** Readers that want more than a quiet pod's events, of each daemon. */
const BUSY_FILTERS = ["0:all", "0:all", "0:drops", "0:drops"];
const START_TIMEOUT_MS = 30_000;
const CATCH_UP_TIMEOUT_MS = 60_000;

/** Filters of so many subscribers: half of them of each daemon, most of them with an identity of their own. */
export function filtersFor(count: number, identities: readonly number[]): string[] {
  return ["agent", "dataplane"].flatMap((daemon, half) => {
    const own = half === 0 ? Math.ceil(count / 2) : Math.floor(count / 2);
    const quiet = Array.from(
      { length: Math.max(0, own - BUSY_FILTERS.length) },
      (_, index) => `${identities[index % identities.length]}:all`,
    );
    return [...BUSY_FILTERS, ...quiet].slice(0, own).map((filter) => `${daemon}:${filter}`);
  });
}

/** Subscribers in a process of their own. */
export class Readers {
  readonly #process: RunningCommand;
  readonly #filters: readonly string[];

  private constructor(process: RunningCommand, filters: readonly string[]) {
    this.#process = process;
    this.#filters = filters;
  }

  /** Starts them, and waits until the process is there. */
  static async start(lab: NetnsLab, node: LabNode, filters: readonly string[]): Promise<Readers> {
    // deno-fmt-ignore
    const process = lab.start([
      Deno.execPath(), "run", "-A", "--no-check", join(import.meta.dirname ?? ".", "subscribers.ts"),
      node.socket("novanet.sock"), node.socket("dataplane.sock"), ...filters,
    ]);
    const readers = new Readers(process, filters);
    await eventually(() => readers.seen.length > 0, {
      timeoutMs: START_TIMEOUT_MS,
      what: "subscribers that read",
    });
    return readers;
  }

  /** What each has seen, as the process said last. @throws {Error} when it has ended */
  get seen(): readonly Seen[] {
    if (this.#process.exited) throw new Error(`subscribers ended: ${this.#process.stderr}`);
    const lines = this.#process.stdout.slice(-64_000).trimEnd().split("\n");
    const line = this.#process.stdout.endsWith("\n") ? lines.at(-1) : lines.at(-2);
    return line === undefined || line === "" ? [] : JSON.parse(line) as Seen[];
  }

  /** Events of each, seen and lost together, by filter; of the same filter the least. */
  totals(): Map<string, number> {
    const totals = new Map<string, number>();
    for (const [index, [events, lost]] of this.seen.entries()) {
      const filter = this.#filters[index] ?? "";
      totals.set(filter, Math.min(totals.get(filter) ?? Infinity, events + lost));
    }
    return totals;
  }

  /** Events of all of them, seen and lost. */
  sums(): Seen {
    return this.seen.reduce<Seen>(([a, b], [events, lost]) => [a + events, b + lost], [0, 0]);
  }

  /** Lets the process stand still. */
  stop(): void {
    this.#process.signal("SIGSTOP");
  }

  /**
   * Lets it go on, and waits until it knows of as many events as others did before.
   * @param others by filter, as `totals` has them
   * @returns what it has lost
   * @throws {EventuallyError} when events are neither seen nor told as lost
   */
  async catchUp(others: ReadonlyMap<string, number>): Promise<number> {
    this.#process.signal("SIGCONT");
    await eventually(() => {
      const totals = this.totals();
      for (const [filter, total] of totals) {
        const wanted = others.get(filter) ?? 0;
        if (total < wanted) throw new Error(`${filter}: ${total} of ${wanted}`);
      }
      return totals.size > 0;
    }, { timeoutMs: CATCH_UP_TIMEOUT_MS, intervalMs: 100, what: "readers that caught up" });
    return this.sums()[1];
  }
}
