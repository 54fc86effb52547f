/** The figures as a file and as tables. Pure. */
import type { Benchmark, Mark, Row } from "./benchmark.ts";
import type { Machine } from "./machine.ts";
import type { Summary } from "./stats.ts";

/** What one benchmark found, and when. */
export interface BenchmarkResult {
  readonly title: string;
  readonly method: string;
  /** ISO 8601. */
  readonly date: string;
  readonly commit: string;
  /** Share of the processors that other programs used just before, 0 to 1. */
  readonly busyBefore: number;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

/** bench/results.json: results by the benchmark's name, of the latest run of each. */
export type Results = Readonly<Record<string, BenchmarkResult>>;

const BEGIN = "<!-- bench:begin (written by ./run bench, do not edit) -->";
const END = "<!-- bench:end -->";
/** From here on the machine was too busy for its figures to be worth much. */
const BUSY = 0.1;

/** A number with three significant digits or, from 100 up, without a fraction. */
export function shortNumber(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return String(Number(value.toPrecision(3)));
}

const spread = ({ median, least, most }: Summary) =>
  least === most
    ? shortNumber(median)
    : `${shortNumber(median)} (${shortNumber(least)}–${shortNumber(most)})`;

function markText(mark: Mark | undefined, unit: string): string {
  if (mark === undefined) return "";
  const suffix = mark.of === "ratio" ? "x" : ` ${unit}`;
  if (mark.atMost !== undefined) return `≤ ${shortNumber(mark.atMost)}${suffix}`;
  return `≥ ${shortNumber(mark.atLeast ?? 0)}${suffix}`;
}

/** The cells of a row, ratio first. */
function cells(row: Row): string[] {
  return [
    row.ratio === undefined ? "" : `${shortNumber(row.ratio)}x`,
    markText(row.mark, row.unit),
    row.met === undefined ? "" : row.met ? "yes" : "**no**",
    row.what,
    `${spread(row.ours)} ${row.unit}`,
    row.peer === undefined ? "" : `${spread(row.peer)} ${row.unit}, ${row.peer.name}`,
  ];
}

const HEAD = ["ratio", "mark", "met", "what", "NovaNet", "peer"];

/** A benchmark's rows for a terminal. */
export function plainTable(rows: readonly Row[]): string {
  const table = [HEAD, ...rows.map((each) => cells(each).map((cell) => cell.replaceAll("*", "")))];
  const widths = HEAD.map((_, column) =>
    Math.max(...table.map((line) => (line[column] ?? "").length))
  );
  return table.map((line) =>
    line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  ).join("\n");
}

function section(result: BenchmarkResult): string {
  const { title, method, rows, date, commit, busyBefore } = result;
  const causes = rows.filter((row) => row.met === false && row.cause !== undefined)
    .map((row) => `- ${row.what}: ${row.cause}`);
  return [
    `### ${title}`,
    "",
    method,
    "",
    `| ${HEAD.join(" | ")} |`,
    `|${"---|".repeat(HEAD.length)}`,
    ...rows.map((row) => `| ${cells(row).join(" | ")} |`),
    "",
    ...(causes.length > 0 ? ["Missed, and the likely cause:", "", ...causes, ""] : []),
    `${date.slice(0, 16).replace("T", " ")} UTC, commit ${commit}${
      busyBefore >= BUSY
        ? `. Provisional: other programs used ${
          Math.round(busyBefore * 100)
        } % of the machine when it began`
        : ""
    }.`,
  ].join("\n");
}

function machineLine({ cpu, cpus, memoryGib, kernel, deno }: Machine): string {
  return `Measured on ${cpu}, ${cpus} processors, ${memoryGib} GiB, Linux ${kernel}, Deno ${deno}.`;
}

/** The generated part of docs/performance.md, in the order of the benchmarks. */
export function performanceSections(
  results: Results,
  benchmarks: readonly Pick<Benchmark, "name">[],
): string {
  const known = benchmarks.flatMap(({ name }) => results[name] ?? []);
  const machines = [...new Set(known.map(({ machine }) => machineLine(machine)))];
  return [...machines, ...known.map(section)].join("\n\n");
}

/**
 * Puts the generated part between its markers.
 * @throws {RangeError} when the page has not both markers
 */
export function withSections(page: string, sections: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new RangeError(`the page lacks ${BEGIN} ... ${END}`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${sections}\n\n${page.slice(end)}`;
}
