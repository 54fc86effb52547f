import { readCorpus } from "./corpus.ts";
import { Mutator } from "./mutator.ts";
import { Fault, type FuzzSubject, type FuzzTarget } from "./target.ts";

/** Long: a machine may stand still for seconds, and a real hang has no end. */
const DEFAULT_LIMIT_MS = 30_000;
const MAX_OUTCOMES = 1000;
/** Findings of one run; who has so many mends them first. */
const MAX_FINDINGS = 5;

/** An input and the fault that it shows. */
export interface Finding {
  readonly input: Uint8Array;
  readonly error: unknown;
}

/** What a run found. */
export interface FuzzReport {
  readonly inputs: number;
  /** Outcomes that differ. */
  readonly outcomes: number;
  /** Mutated inputs whose outcome was new. */
  readonly fresh: readonly Uint8Array[];
  readonly findings: readonly Finding[];
  /** What the subject says of the inputs; may be empty. */
  readonly summary: string;
}

/** How to run. */
export interface FuzzOptions {
  /** Of the mutations; the same inputs come again as far as the subject answers alike. */
  readonly seed: number;
  /** How long mutated inputs are run, after the seeds and the corpus. */
  readonly ms: number;
  /** Mutated inputs at most; default no limit. */
  readonly most?: number;
  /** Hears of each input before it is run. */
  readonly onInput?: (input: Uint8Array) => void;
}

/** Runs a target on its seeds, its corpus, and mutations of both. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  await using subject = await target.open();
  return await new Run(target, subject, options).play();
}

class Run {
  readonly #target: FuzzTarget;
  readonly #subject: FuzzSubject;
  readonly #options: FuzzOptions;
  readonly #mutator: Mutator;
  readonly #pool: Uint8Array[] = [];
  readonly #outcomes = new Set<string>();
  readonly #fresh: Uint8Array[] = [];
  readonly #findings = new Map<string, Finding>();
  #inputs = 0;
  #mutations = 0;

  constructor(target: FuzzTarget, subject: FuzzSubject, options: FuzzOptions) {
    this.#target = target;
    this.#subject = subject;
    this.#options = options;
    this.#mutator = new Mutator(options.seed, target.tokens);
  }

  async play(): Promise<FuzzReport> {
    const known = [...this.#target.seeds(), ...readCorpus(this.#target.name)];
    this.#pool.push(...known);
    const left = known.values();
    await this.#inJobs(() => this.#tryAll(left));
    this.#subject.warm?.();
    const end = performance.now() + this.#options.ms;
    await this.#inJobs(() => this.#mutate(end));
    await this.#check();
    return {
      inputs: this.#inputs,
      outcomes: this.#outcomes.size,
      fresh: this.#fresh,
      findings: [...this.#findings.values()],
      summary: this.#subject.summary?.() ?? "",
    };
  }

  async #inJobs(work: () => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: this.#target.jobs ?? 1 }, work));
  }

  async #tryAll(left: Iterable<Uint8Array>): Promise<void> {
    for (const input of left) await this.#try(input, false);
  }

  async #mutate(end: number): Promise<void> {
    const most = this.#options.most ?? Infinity;
    while (performance.now() < end && this.#findings.size < MAX_FINDINGS) {
      if (this.#mutations++ >= most) return;
      await this.#try(this.#mutator.next(this.#pool), true);
    }
  }

  async #try(input: Uint8Array, isMutated: boolean): Promise<void> {
    this.#inputs++;
    this.#options.onInput?.(input);
    try {
      const running = this.#subject.run(input.slice());
      const outcome = typeof running === "string" ? running : await this.#inTime(running);
      if (this.#outcomes.has(outcome) || this.#outcomes.size >= MAX_OUTCOMES) return;
      this.#outcomes.add(outcome);
      if (!isMutated) return;
      this.#pool.push(input);
      this.#fresh.push(input);
    } catch (error) {
      this.#found(input, error);
    }
  }

  /** Faults of one kind differ in what they quote. */
  #found(input: Uint8Array, error: unknown): void {
    const kind = String(error).replaceAll(/[0-9a-f]{2,}|\d+|"[^"]*"/g, "#").slice(0, 80);
    const known = this.#findings.get(kind);
    if (known === undefined || known.input.length > input.length) {
      this.#findings.set(kind, { input, error });
    }
  }

  async #check(): Promise<void> {
    try {
      await this.#subject.check?.();
    } catch (error) {
      this.#found(new Uint8Array(), error);
    }
  }

  async #inTime(running: Promise<string>): Promise<string> {
    const limitMs = this.#target.limitMs ?? DEFAULT_LIMIT_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Fault(`not done after ${limitMs} ms`)), limitMs);
    });
    try {
      return await Promise.race([running, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
