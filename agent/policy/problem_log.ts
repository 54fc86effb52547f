import type { ManifestSnapshot } from "./manifest_store.ts";
import { formatProblem } from "./objects/problem.ts";

/** Where problems are told. */
export interface ProblemSink {
  error(message: string, fields: { readonly problem: string }): void;
  warn(message: string, fields: { readonly problem: string }): void;
}

/** Tells of each problem of the manifests once: when it appears, and again when it comes back. */
export class ProblemLog {
  readonly #sink: ProblemSink;
  #told: ReadonlySet<string> = new Set();

  constructor(sink: ProblemSink) {
    this.#sink = sink;
  }

  /** Tells what the snapshot before this one did not have. */
  tell({ errors, warnings }: Pick<ManifestSnapshot, "errors" | "warnings">): void {
    const [errorTexts, warningTexts] = [errors.map(formatProblem), warnings.map(formatProblem)];
    for (const problem of this.#news(errorTexts)) {
      this.#sink.error("a manifest is not in force as it is", { problem });
    }
    for (const problem of this.#news(warningTexts)) {
      this.#sink.warn("a manifest may not mean what it says", { problem });
    }
    this.#told = new Set([...errorTexts, ...warningTexts]);
  }

  #news(texts: readonly string[]): Set<string> {
    return new Set(texts).difference(this.#told);
  }
}
