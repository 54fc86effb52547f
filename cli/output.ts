import type { Io } from "./io.ts";
import { type JsonValue, toJson } from "./json.ts";

/** Values of `--output`. */
export const FORMATS = ["table", "wide", "json", "yaml"] as const;

/** One of {@link FORMATS}. */
export type Format = typeof FORMATS[number];

/** How a command prints, from the command line. */
export interface OutputOptions {
  readonly output: Format;
  readonly noColor: boolean;
  readonly noHeaders: boolean;
  /** Prints the same again and again: a JSON document takes one line, so that lines are looks. */
  readonly watch: boolean;
}

/** One column of a table. */
export interface Column<T> {
  readonly header: string;
  /** Text of a cell; never empty. @param terminal false in a pipe, where times are whole. */
  readonly text: (item: T, terminal: boolean) => string;
  /** Characters on a terminal when rows come one by one; longer texts widen the column, up to twice that. */
  readonly width?: number;
  /** Shown by `-o wide` only. */
  readonly wide?: true;
  /** Left out on a terminal with fewer columns, unless `-o wide`. */
  readonly roomy?: true;
  /** Color of a cell on a terminal. */
  readonly color?: (item: T) => Color;
}

/** How a kind of thing is printed in every format. */
export interface View<T> {
  readonly columns: readonly Column<T>[];
  readonly json: (item: T) => JsonValue;
}

/** ANSI colors, `none` for the terminal's own. */
export type Color = "red" | "green" | "yellow" | "none";

const ANSI = {
  red: "\x1b[31m",
  green: "\x1b[32m",
  yellow: "\x1b[33m",
  bold: "\x1b[1m",
  reset: "\x1b[0m",
};
/** Between the lines of a row that is longer than the terminal is wide. */
const CONTINUATION = "\n    ";
/** Columns of a terminal on which nothing needs to be saved. */
const ROOMY_COLUMNS = 160;

/** Prints lists and streams of one kind of thing as the command line asks. */
export class Printer<T> {
  readonly #io: Io;
  readonly #options: OutputOptions;
  readonly #view: View<T>;
  readonly #columns: readonly Column<T>[];
  /** Columns of the terminal, 0 when it is none. */
  readonly #terminal: number;
  readonly #colors: boolean;
  /** Rows come one by one. */
  #started = false;
  /** Of a stream's columns so far. */
  readonly #widths: number[];

  constructor(io: Io, options: OutputOptions, view: View<T>) {
    this.#io = io;
    this.#options = options;
    this.#view = view;
    const { columns } = io.stdout;
    const roomy = columns === undefined || columns >= ROOMY_COLUMNS;
    this.#columns = view.columns.filter((column) =>
      options.output === "wide" || (!column.wide && (roomy || !column.roomy))
    );
    this.#widths = this.#columns.map(({ header, width }) => Math.max(header.length, width ?? 0));
    this.#terminal = columns ?? 0;
    this.#colors = hasColors(io, options);
  }

  /** Prints a whole list: a table, or one JSON or YAML document. */
  async list(items: readonly T[]): Promise<void> {
    const { output } = this.#options;
    if (output === "json" || output === "yaml") {
      await this.#io.stdout.write(
        await document(output, items.map(this.#view.json), indentOf(this.#options)),
      );
      return;
    }
    const cells = items.map((item) => this.#cells(item));
    const widths = this.#columns.map((column, index) =>
      Math.max(column.header.length, ...cells.map((row) => displayWidth(row[index] ?? "")))
    );
    const lines = items.map((item, row) => this.#row(item, cells[row] ?? [], widths));
    await this.#io.stdout.write([...this.#header(widths), ...lines].join(""));
  }

  /** Prints the next of a stream: a row, one line of JSON, or a YAML document. The first brings the header. */
  async next(item: T): Promise<void> {
    const { output } = this.#options;
    if (output === "json" || output === "yaml") {
      await this.#io.stdout.write(await document(output, this.#view.json(item), 0));
      return;
    }
    await this.start();
    const cells = this.#cells(item);
    this.#widen(cells);
    await this.#io.stdout.write(this.#row(item, cells, this.#widths));
  }

  /** Prints the header of a stream, so that one sees that it is running. */
  async start(): Promise<void> {
    const { output } = this.#options;
    if (this.#started || output === "json" || output === "yaml") return;
    this.#started = true;
    await this.#io.stdout.write(this.#header(this.#widths).join(""));
  }

  /** Rows stay below each other after a long text; one that is far too long moves its own row only. */
  #widen(cells: readonly string[]): void {
    for (const [index, cell] of cells.entries()) {
      const most = 2 * (this.#columns[index]?.width ?? 0);
      const width = displayWidth(cell);
      if (width <= most) this.#widths[index] = Math.max(this.#widths[index] ?? 0, width);
    }
  }

  #cells(item: T): string[] {
    // A control character in a name could steer the terminal, a tab would end the cell.
    return this.#columns.map((column) =>
      column.text(item, this.#terminal > 0).replaceAll(/\p{Cc}/gu, " ")
    );
  }

  #header(widths: readonly number[]): string[] {
    if (this.#options.noHeaders) return [];
    const line = this.#join(this.#columns.map((column) => column.header), widths);
    return [this.#colors ? `${ANSI.bold}${line}${ANSI.reset}\n` : `${line}\n`];
  }

  #row(item: T, cells: readonly string[], widths: readonly number[]): string {
    const colors = this.#columns.map((column) => column.color?.(item) ?? "none");
    return `${this.#join(cells, widths, colors)}\n`;
  }

  #join(
    cells: readonly string[],
    widths: readonly number[],
    colors: readonly Color[] = [],
  ): string {
    if (!this.#terminal) return cells.join("\t");
    const gap = this.#started ? " " : "  ";
    let line = "";
    let width = 0;
    for (const [index, cell] of cells.entries()) {
      const cellWidth = displayWidth(cell);
      // A row of a stream goes on below, where the terminal would break it within a word.
      const broken = this.#started && width > 0 && width + cellWidth > this.#terminal;
      const before = broken ? CONTINUATION : "";
      const last = index === cells.length - 1;
      const padding = last ? "" : " ".repeat(Math.max(0, (widths[index] ?? 0) - cellWidth)) + gap;
      line += before + this.#colored(cell, colors[index] ?? "none") + padding;
      width = (broken ? CONTINUATION.length - 1 : width) + cellWidth + padding.length;
    }
    return line;
  }

  #colored(cell: string, color: Color): string {
    return this.#colors && color !== "none" ? `${ANSI[color]}${cell}${ANSI.reset}` : cell;
  }
}

/** One line of a key/value table. */
export interface Field {
  readonly key: string;
  readonly value: string;
  readonly color?: Color;
}

/** Prints keys and values: a table, or the object as one document. */
export async function printFields(
  io: Io,
  options: OutputOptions,
  fields: readonly Field[],
  json: JsonValue,
): Promise<void> {
  const view: View<Field> = {
    columns: [
      { header: "KEY", text: ({ key }) => key },
      { header: "VALUE", text: ({ value }) => value, color: ({ color }) => color ?? "none" },
    ],
    json: () => json,
  };
  const { output } = options;
  if (output === "json" || output === "yaml") {
    await io.stdout.write(await document(output, json, indentOf(options)));
  } else {
    await new Printer(io, { ...options, noHeaders: true }, view).list(fields);
  }
}

/** One line of a text that is no table. */
export interface TextLine {
  readonly text: string;
  readonly color?: Color;
}

/** Prints a text for people, or the object as one document. */
export async function printText(
  io: Io,
  options: OutputOptions,
  lines: readonly TextLine[],
  json: JsonValue,
): Promise<void> {
  const { output } = options;
  if (output === "json" || output === "yaml") {
    await io.stdout.write(await document(output, json, indentOf(options)));
    return;
  }
  const colors = hasColors(io, options);
  const texts = lines.map(({ text, color = "none" }) => {
    const clean = text.replaceAll(/\p{Cc}/gu, " ");
    return colors && color !== "none" ? `${ANSI[color]}${clean}${ANSI.reset}\n` : `${clean}\n`;
  });
  await io.stdout.write(texts.join(""));
}

function hasColors(io: Io, { noColor }: OutputOptions): boolean {
  return io.stdout.columns !== undefined && !noColor && !io.getEnv("NO_COLOR");
}

/** Spaces for each level of JSON. */
export function indentOf({ watch }: OutputOptions): number {
  return watch ? 0 : 2;
}

/** Prints one document, whatever `--output` says. */
export async function printDocument(
  io: Io,
  format: "json" | "yaml",
  value: JsonValue,
  indent = 2,
): Promise<void> {
  await io.stdout.write(await document(format, value, indent));
}

/** One document with its newline; YAML documents are divided by `---`. */
async function document(
  output: "json" | "yaml",
  value: JsonValue,
  indent: number,
): Promise<string> {
  if (output === "json") return `${toJson(value, indent)}\n`;
  const { stringify } = await import("yaml");
  return `---\n${stringify(value, { lineWidth: 0 })}`;
}

/** Characters, not UTF-16 units. Names of Kubernetes are ASCII, where both are the same. */
function displayWidth(text: string): number {
  return [...text].length;
}
