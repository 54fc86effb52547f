import type { NetnsLab } from "../../shared/testing/lab.ts";
import { summarize, type Summary } from "./stats.ts";

/** What a figure should reach: issue 4's marks, or a bound of the kernel. */
export interface Mark {
  /** Of the ratio (ours to the peer's), or of our own value. */
  readonly of: "ratio" | "value";
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** One line of the table: a figure of ours, and the peer's from the same run. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly ours: Summary;
  readonly peer?: Summary & { readonly name: string };
  /** Our median through the peer's. */
  readonly ratio?: number;
  readonly mark?: Mark;
  /** Whether the mark is reached. */
  readonly met?: boolean;
  /** Why it is as it is: said when the mark is missed. */
  readonly cause?: string;
}

/** What a row is made from. */
export interface RowInput {
  readonly what: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly peer?: { readonly name: string; readonly values: readonly number[] };
  readonly mark?: Mark;
  readonly cause?: string;
}

/** Medians, ratio and whether the mark is reached. */
export function row({ what, unit, ours, peer, mark, cause }: RowInput): Row {
  const own = summarize(ours);
  const other = peer === undefined ? undefined : { name: peer.name, ...summarize(peer.values) };
  const ratio = other === undefined ? undefined : own.median / other.median;
  const met = mark === undefined ? undefined : reaches(mark, own.median, ratio);
  return {
    what,
    unit,
    ours: own,
    ...(other === undefined ? {} : { peer: other }),
    ...(ratio === undefined ? {} : { ratio }),
    ...(mark === undefined ? {} : { mark }),
    ...(met === undefined ? {} : { met }),
    ...(met === false && cause !== undefined ? { cause } : {}),
  };
}

function reaches(mark: Mark, value: number, ratio: number | undefined): boolean {
  const judged = mark.of === "ratio" ? ratio : value;
  if (judged === undefined) throw new RangeError("a mark of a ratio needs a peer");
  return judged <= (mark.atMost ?? Infinity) && judged >= (mark.atLeast ?? -Infinity);
}

/** What a benchmark is given. */
export interface BenchContext {
  /** Everything made in it goes when the benchmark ends. */
  readonly lab: NetnsLab;
  /** How often each measurement is repeated: at least five for figures that count. */
  readonly rounds: number;
  /** Says how far it is, on standard error. */
  readonly note: (text: string) => void;
}

/** One group of figures. */
export interface Benchmark {
  /** One word: what FILTER is compared with. */
  readonly name: string;
  /** The heading of its table. */
  readonly title: string;
  /** How it is measured: a few sentences for docs/performance.md. */
  readonly method: string;
  run(context: BenchContext): Promise<Row[]>;
}
