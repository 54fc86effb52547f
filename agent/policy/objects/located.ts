import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  type YAMLError,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import type { ProblemList } from "./problem.ts";

/** A value of a YAML or JSON document that knows its line. */
export type Located = LocatedMap | LocatedList | LocatedScalar;

/** A mapping. */
export interface LocatedMap {
  readonly kind: "map";
  readonly line: number;
  readonly entries: ReadonlyMap<string, Located>;
}

/** A sequence. */
export interface LocatedList {
  readonly kind: "list";
  readonly line: number;
  readonly items: readonly Located[];
}

/** A scalar. */
export interface LocatedScalar {
  readonly kind: "scalar";
  readonly line: number;
  readonly value: string | number | boolean | null;
}

/** What a document may cost at most. */
export interface DocumentLimits {
  /** Values in one file after aliases are followed. */
  readonly maxValues: number;
  /** Levels of nesting. */
  readonly maxDepth: number;
}

/** How {@linkcode readDocuments} reads. */
export interface ReadOptions {
  readonly limits: DocumentLimits;
  /** The line of the file in which the text begins, from 1. */
  readonly firstLine: number;
}

/** Enough for thousands of objects in one file; a file of nested aliases stops here. */
export const DEFAULT_DOCUMENT_LIMITS: DocumentLimits = { maxValues: 1_000_000, maxDepth: 64 };

/** Tags that Kubernetes' own YAML reader does not resolve; without them such text is a string. */
const FOREIGN_TAGS = new Set(["timestamp", "binary", "omap", "pairs", "set"].map(coreTag));

/**
 * Reads all documents of a YAML or JSON text, as Kubernetes reads them: YAML 1.1 scalars, and
 * repeated keys refused.
 * @param json whether the text must be one JSON value.
 * @returns the documents; empty ones are left out. Faults are added to `problems`.
 */
export function readDocuments(
  text: string,
  json: boolean,
  problems: ProblemList,
  { limits, firstLine }: ReadOptions = { limits: DEFAULT_DOCUMENT_LIMITS, firstLine: 1 },
): Located[] {
  if (json && !checkJson(text, problems)) return [];
  const lines = new FileLines(firstLine);
  const located: Located[] = [];
  try {
    // Tabs stand only between the tokens of valid JSON, where YAML may take them for indentation.
    const documents = parse(json ? text.replaceAll("\t", " ") : text, lines);
    const reader = new LocatedReader(lines, problems, limits);
    for (const document of documents) {
      reportParserFaults(document, lines, problems);
      const value = problems.errors.length > 0 ? undefined : reader.read(document);
      if (value !== undefined) located.push(value);
    }
  } catch (error) {
    // The parser recurses: nesting of thousands of levels ends its stack before our limit does.
    if (!(error instanceof RangeError)) throw error;
    problems.error(0, "", undefined, "it is nested too deeply");
  }
  return problems.errors.length > 0 ? [] : located;
}

/** Counts the lines of a file of which a text is a part. */
class FileLines extends LineCounter {
  readonly #firstLine: number;

  constructor(firstLine: number) {
    super();
    this.#firstLine = firstLine;
  }

  /** The line of the file, from 1, that an offset of the text stands in. */
  lineAt(offset: number): number {
    return this.linePos(offset).line + this.#firstLine - 1;
  }
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed[] {
  const documents = parseAllDocuments(text, {
    version: "1.1",
    lineCounter,
    prettyErrors: false,
    uniqueKeys: true,
    logLevel: "silent",
    customTags: (tags) =>
      tags.filter((tag) =>
        typeof tag === "string" || !(FOREIGN_TAGS.has(tag.tag) || tag.format === "TIME")
      ),
  });
  return "empty" in documents ? [] : documents;
}

function coreTag(name: string): string {
  return `tag:yaml.org,2002:${name}`;
}

function checkJson(text: string, problems: ProblemList): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const position = Number(/position (\d+)/.exec(reason)?.[1] ?? Number.NaN);
    const line = Number.isNaN(position) ? 0 : text.slice(0, position).split("\n").length;
    problems.error(line, "", undefined, `it is no JSON: ${reason}`);
    return false;
  }
}

function reportParserFaults(
  document: Document.Parsed,
  lines: FileLines,
  problems: ProblemList,
): void {
  // A warning of the parser is an unresolved tag: the value would not be what its author means.
  const faults: YAMLError[] = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    problems.error(lines.lineAt(fault.pos[0]), "", undefined, fault.message);
  }
}

/** Raised inside this file only, to leave the recursion when a limit is passed. */
class LimitError extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** A value with an anchor, and what it costs wherever an alias repeats it. */
interface Anchored {
  readonly value: Located;
  readonly values: number;
  readonly levels: number;
}

/** Turns the parser's nodes into located values within the limits of one file. */
class LocatedReader {
  readonly #lines: FileLines;
  readonly #problems: ProblemList;
  readonly #limits: DocumentLimits;
  readonly #anchors = new Map<string, Anchored>();
  #values = 0;
  #deepest = 0;

  constructor(lines: FileLines, problems: ProblemList, limits: DocumentLimits) {
    this.#lines = lines;
    this.#problems = problems;
    this.#limits = limits;
  }

  read(document: Document.Parsed): Located | undefined {
    const root = document.contents;
    if (root === null) return undefined;
    if (isScalar(root) && root.value === null) return undefined;
    this.#anchors.clear();
    try {
      return this.#value(root, 0);
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      this.#problems.error(error.line, "", undefined, error.message);
      return undefined;
    }
  }

  #value(node: Node, depth: number): Located {
    const line = this.#line(node);
    if (isAlias(node)) return this.#alias(node, depth);
    this.#spend(line, 1, depth);
    if (node.anchor === undefined) return this.#plain(node, line, depth);
    const [values, deepest] = [this.#values, this.#deepest];
    this.#deepest = depth;
    const value = this.#plain(node, line, depth);
    const levels = this.#deepest - depth;
    this.#anchors.set(node.anchor, { value, values: this.#values - values + 1, levels });
    this.#deepest = Math.max(deepest, this.#deepest);
    return value;
  }

  #plain(node: Node, line: number, depth: number): Located {
    if (isMap(node)) return this.#map(node, depth);
    if (!isSeq(node)) return this.#scalar(node as Scalar, line);
    const items = (node as YAMLSeq<Node>).items.map((item) => this.#value(item, depth + 1));
    return { kind: "list", line, items };
  }

  /** The value is shared, not copied; the limits count it as if it were copied. */
  #alias(alias: Alias, depth: number): Located {
    const line = this.#line(alias);
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      throw new LimitError(line, `alias *${alias.source} stands before the end of its anchor`);
    }
    this.#spend(line, target.values, depth + target.levels);
    return target.value;
  }

  #spend(line: number, values: number, depth: number): void {
    this.#values += values;
    this.#deepest = Math.max(this.#deepest, depth);
    if (this.#values > this.#limits.maxValues) {
      throw new LimitError(line, `it has more than ${this.#limits.maxValues} values`);
    }
    if (depth > this.#limits.maxDepth) {
      throw new LimitError(line, `it is nested deeper than ${this.#limits.maxDepth} levels`);
    }
  }

  #map(node: YAMLMap, depth: number): LocatedMap {
    const own = new Map<string, Located>();
    const merged = new Map<string, Located>();
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = this.#key(pair.key);
      const line = this.#line(pair.key);
      const value: Located = pair.value === null
        ? { kind: "scalar", line, value: null }
        : this.#value(pair.value, depth + 1);
      if (key === "<<" && (pair.key as Scalar).type === "PLAIN") this.#merge(merged, value);
      else own.set(key, value);
    }
    for (const [key, value] of own) merged.set(key, value);
    return { kind: "map", line: this.#line(node), entries: merged };
  }

  /** YAML 1.1 merge keys: the first source that has a key wins, the mapping's own keys over all. */
  #merge(into: Map<string, Located>, source: Located): void {
    const sources = source.kind === "list" ? source.items : [source];
    for (const item of sources) {
      if (item.kind !== "map") {
        throw new LimitError(item.line, "'<<' merges mappings only");
      }
      for (const [key, value] of item.entries) {
        if (!into.has(key)) into.set(key, value);
      }
    }
  }

  #key(key: Node): string {
    if (isScalar(key) && typeof key.value === "string") return key.value;
    // In YAML 1.1 the merge key is a symbol of the parser's once its tag is resolved.
    if (isScalar(key) && typeof key.value === "symbol") return "<<";
    throw new LimitError(this.#line(key), "a key must be a string: put it in quotes");
  }

  #scalar(node: Scalar, line: number): LocatedScalar {
    const { value } = node;
    if (
      value === null || typeof value === "string" || typeof value === "number" ||
      typeof value === "boolean"
    ) return { kind: "scalar", line, value };
    throw new LimitError(line, `a ${typeof value} is no value of a Kubernetes object`);
  }

  #line(node: Node): number {
    return node.range ? this.#lines.lineAt(node.range[0]) : 0;
  }
}
