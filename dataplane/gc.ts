/** Expiry of connections and fragments, and reports of drops that go on: a program in the kernel does it when told. */

import type { BpfProgram } from "../shared/ffi/bpf.ts";
import { type CollectArgs, CollectArgsCodec } from "../shared/gen/abi.ts";
import { getLogger } from "../shared/log.ts";
import { type ClockReading, measureHz } from "./config/derived_state.ts";

const NO_ARGS: CollectArgs = {
  jiffies: 0n,
  ktimeNs: 0n,
  conntrackLive: 0,
  conntrackExpired: 0,
  fragmentsLive: 0,
  fragmentsExpired: 0,
  dropFlowsReported: 0,
  scan: 0,
};

const LONGEST_INTERVAL_MS = 5_000;
const SHORTEST_INTERVAL_MS = 500;
/** However long runs take: tables fill meanwhile. */
const LONGEST_PAUSE_MS = 10_000;
const LONGEST_BACK_OFF_MS = 60_000;
/** Runs may take this share of one CPU, while tables are half empty... */
const CPU_SHARE = 0.05;
/** ...and this one when they are nearly full: what is not forgotten in time is new connections that are refused. */
const MOST_CPU_SHARE = 0.5;
const HALF_FULL = 0.5;
const NEARLY_FULL = 0.8;
const HZ_SAMPLE_MS = 100;

const log = getLogger("dataplane/gc");

/** What {@linkcode intervalMs} looks at. */
export interface CollectLoad {
  /** Entries of the fuller table of connections and fragments, 0 to 1 of what fits. */
  readonly fill: number;
  /** What the last run took. */
  readonly runMs: number;
  /** How often drops that go on are reported. */
  readonly flowIntervalMs: number;
}

/** Time to the next run: the fuller the tables, the shorter, within a share of one CPU. Pure. */
export function intervalMs({ fill, runMs, flowIntervalMs }: CollectLoad): number {
  const wanted = Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, flowIntervalMs));
  const urgent = wanted * Math.min(1, Math.max(0.1, (1 - fill) * 2));
  const need = Math.min(1, Math.max(0, (fill - HALF_FULL) / (NEARLY_FULL - HALF_FULL)));
  const share = CPU_SHARE + (MOST_CPU_SHARE - CPU_SHARE) * need;
  return Math.max(SHORTEST_INTERVAL_MS, urgent, Math.min(LONGEST_PAUSE_MS, runMs / share));
}

/** Time to the next try after so many failures in a row. Pure. */
export function backOffMs(failures: number): number {
  return Math.min(LONGEST_BACK_OFF_MS, 1_000 * 2 ** (failures - 1));
}

/** Jiffies per second of this kernel, measured in about 100 ms. @throws SysError */
export async function readHz(program: BpfProgram): Promise<number> {
  const first = readClocks(program);
  await new Promise((resolve) => setTimeout(resolve, HZ_SAMPLE_MS));
  return measureHz(first, readClocks(program));
}

/** Options of {@linkcode GarbageCollector}. */
export interface GarbageCollectorOptions {
  /** `collect_garbage`; stays the caller's. */
  readonly program: BpfProgram;
  readonly conntrackMax: number;
  readonly fragmentMax: number;
  readonly flowIntervalMs: () => number;
  /** Runs after each collection, for what else is to be looked after from time to time. */
  readonly afterRun: () => void;
}

/** Runs the program again and again. */
export class GarbageCollector {
  readonly #options: GarbageCollectorOptions;
  readonly #stopping = Promise.withResolvers<void>();
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
  }

  /** Begins. */
  start(): void {
    this.#done ??= this.#run();
  }

  /** Waits for the run that goes on, if one does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.resolve();
    await this.#done;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      let pauseMs: number;
      try {
        pauseMs = await this.#collect();
        failures = 0;
      } catch (error) {
        pauseMs = backOffMs(++failures);
        log.warn("cannot collect expired connections", { error, retryMs: pauseMs });
      }
      await this.#pause(pauseMs);
    }
  }

  async #collect(): Promise<number> {
    const { program, conntrackMax, fragmentMax, flowIntervalMs, afterRun } = this.#options;
    const start = performance.now();
    const ctxIn = CollectArgsCodec.encode({ ...NO_ARGS, scan: 1 });
    const { ctxOut } = await program.testRunAsync({ ctxIn });
    const runMs = performance.now() - start;
    const args = CollectArgsCodec.decode(ctxOut);
    log.debug("collected", { ...args, runMs });
    afterRun();
    const fill = Math.max(args.conntrackLive / conntrackMax, args.fragmentsLive / fragmentMax);
    return intervalMs({ fill, runMs, flowIntervalMs: flowIntervalMs() });
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([promise, this.#stopping.promise]);
    clearTimeout(timer);
  }
}

function readClocks(program: BpfProgram): ClockReading {
  const { ctxOut } = program.testRun({ ctxIn: CollectArgsCodec.encode(NO_ARGS) });
  return CollectArgsCodec.decode(ctxOut);
}
