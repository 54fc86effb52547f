const MAX_VALUE_CHARS = 80;

/** What is wrong (or, as a warning, surprising) in a manifest file, and where. */
export interface ManifestProblem {
  /** The file's path as the source named it. */
  readonly file: string;
  /** Line in the file, from 1; 0 when the file as a whole is meant. */
  readonly line: number;
  /** The field, as in `spec.ingress[0].ports[1].endPort`; empty when no field is meant. */
  readonly path: string;
  /** The offending value as JSON, cut to 80 characters; undefined when there is none to show. */
  readonly value: string | undefined;
  /** Why it is refused, and what would be right. */
  readonly reason: string;
}

/** @returns `file:line field value: reason`, the form that status and log show. */
export function formatProblem(problem: ManifestProblem): string {
  const where = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
  const what = [problem.path, problem.value].filter((part) => part !== undefined && part !== "");
  return what.length > 0
    ? `${where} ${what.join(" ")}: ${problem.reason}`
    : `${where}: ${problem.reason}`;
}

/** @returns a value as JSON, cut to a length that fits a message. */
export function showValue(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS)}...` : text;
}

/** Gathers the problems of one file, so that all are reported, not only the first. */
export class ProblemList {
  /** The file that all of them are about. */
  readonly file: string;
  /** What makes the file invalid. */
  readonly errors: ManifestProblem[] = [];
  /** What is valid but probably not meant. */
  readonly warnings: ManifestProblem[] = [];

  constructor(file: string) {
    this.file = file;
  }

  /**
   * Adds an error.
   * @param value what was found; undefined shows none.
   */
  error(line: number, path: string, value: unknown, reason: string): void {
    this.errors.push(this.#problem(line, path, value, reason));
  }

  /** Adds a warning; arguments as for `error`. */
  warn(line: number, path: string, value: unknown, reason: string): void {
    this.warnings.push(this.#problem(line, path, value, reason));
  }

  #problem(line: number, path: string, value: unknown, reason: string): ManifestProblem {
    const shown = value === undefined ? undefined : showValue(value);
    return Object.freeze({ file: this.file, line, path, value: shown, reason });
  }
}
