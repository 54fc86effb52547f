import type { Located, LocatedList, LocatedMap } from "./located.ts";
import type { ProblemList } from "./problem.ts";

/**
 * Typed access to the fields of one mapping. Every reader adds an error that names the field when
 * the value is of another type, and then returns undefined; null counts as absent, as in Go.
 */
export class Fields {
  readonly problems: ProblemList;
  /** The mapping's own path, empty at the top. */
  readonly path: string;
  readonly line: number;
  readonly #entries: ReadonlyMap<string, Located>;

  constructor(problems: ProblemList, map: LocatedMap, path: string) {
    this.problems = problems;
    this.path = path;
    this.line = map.line;
    this.#entries = map.entries;
  }

  /** Whether the key is there at all, with a value or null. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Whether the key is there with null for its value. */
  isNull(key: string): boolean {
    const value = this.#entries.get(key);
    return value?.kind === "scalar" && value.value === null;
  }

  /** The path of a field. */
  at(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }

  /** The line of a field's value, or of the mapping when the field is absent. */
  lineOf(key: string): number {
    return this.#entries.get(key)?.line ?? this.line;
  }

  /** How many elements a field has; 0 when it is no list. */
  listLength(key: string): number {
    const value = this.#entries.get(key);
    return value?.kind === "list" ? value.items.length : 0;
  }

  /** Adds an error about a field. */
  error(key: string, value: unknown, reason: string): void {
    this.problems.error(this.lineOf(key), this.at(key), value, reason);
  }

  /** Adds a warning about a field. */
  warn(key: string, value: unknown, reason: string): void {
    this.problems.warn(this.lineOf(key), this.at(key), value, reason);
  }

  /** Adds an error for every field that is not among those known. */
  refuseUnknown(known: readonly string[]): void {
    for (const [key, value] of this.#entries) {
      if (known.includes(key)) continue;
      const reason = `unknown field; known here: ${known.join(", ")}`;
      this.problems.error(value.line, this.at(key), undefined, reason);
    }
  }

  string(key: string): string | undefined {
    return this.#scalar(key, "string") as string | undefined;
  }

  boolean(key: string): boolean | undefined {
    return this.#scalar(key, "boolean") as boolean | undefined;
  }

  /** An integer; Kubernetes refuses a number in quotes, and so does this. */
  integer(key: string): number | undefined {
    const value = this.#scalar(key, "number") as number | undefined;
    if (value === undefined || Number.isInteger(value)) return value;
    this.error(key, value, "expected an integer");
    return undefined;
  }

  /** An IntOrString. */
  integerOrString(key: string): number | string | undefined {
    const value = this.#present(key);
    if (value === undefined) return undefined;
    if (value.kind === "scalar" && typeof value.value === "string") return value.value;
    if (value.kind === "scalar" && typeof value.value === "number") return this.integer(key);
    this.error(key, plain(value), `expected an integer or a string, got ${kindOf(value)}`);
    return undefined;
  }

  map(key: string): Fields | undefined {
    const value = this.#present(key);
    if (value === undefined) return undefined;
    if (value.kind === "map") return new Fields(this.problems, value, this.at(key));
    this.error(key, plain(value), `expected a mapping, got ${kindOf(value)}`);
    return undefined;
  }

  /** A list; undefined when absent, null or no list. */
  list(key: string): LocatedList | undefined {
    const value = this.#present(key);
    if (value === undefined) return undefined;
    if (value.kind === "list") return value;
    this.error(key, plain(value), `expected a list, got ${kindOf(value)}`);
    return undefined;
  }

  /**
   * A list of mappings; undefined when absent. A null element is an error: Kubernetes would read it
   * as `{}`, which in a list of rules or ports allows everything.
   */
  maps(key: string): Fields[] | undefined {
    const items = this.list(key)?.items;
    if (items === undefined) return undefined;
    const maps: Fields[] = [];
    for (const [i, item] of items.entries()) {
      const path = `${this.at(key)}[${i}]`;
      if (item.kind === "map") maps.push(new Fields(this.problems, item, path));
      else {
        const reason = `expected a mapping, got ${kindOf(item)}`;
        this.problems.error(item.line, path, plain(item), reason);
      }
    }
    return maps;
  }

  /** A list of strings; undefined when absent. Each comes with its line and path. */
  strings(key: string): { value: string; line: number; path: string }[] | undefined {
    const items = this.list(key)?.items;
    if (items === undefined) return undefined;
    const strings: { value: string; line: number; path: string }[] = [];
    for (const [i, item] of items.entries()) {
      const path = `${this.at(key)}[${i}]`;
      if (item.kind === "scalar" && typeof item.value === "string") {
        strings.push({ value: item.value, line: item.line, path });
      } else this.problems.error(item.line, path, plain(item), expectedString(item));
    }
    return strings;
  }

  /** A mapping of strings to strings; empty when absent. */
  stringMap(key: string): Map<string, { value: string; line: number; path: string }> {
    const result = new Map<string, { value: string; line: number; path: string }>();
    const map = this.map(key);
    if (map === undefined) return result;
    for (const [name, item] of map.#entries) {
      const path = `${map.path}[${name}]`;
      if (item.kind === "scalar" && typeof item.value === "string") {
        result.set(name, { value: item.value, line: item.line, path });
      } else this.problems.error(item.line, path, plain(item), expectedString(item));
    }
    return result;
  }

  #scalar(key: string, type: "string" | "number" | "boolean"): unknown {
    const value = this.#present(key);
    if (value === undefined) return undefined;
    if (value.kind === "scalar" && typeof value.value === type) return value.value;
    const reason = type === "string"
      ? expectedString(value)
      : `expected a ${type}, got ${kindOf(value)}`;
    this.error(key, plain(value), reason);
    return undefined;
  }

  #present(key: string): Located | undefined {
    const value = this.#entries.get(key);
    return value?.kind === "scalar" && value.value === null ? undefined : value;
  }
}

function expectedString(value: Located): string {
  const hint = value.kind === "scalar" && value.value !== null ? "; put it in quotes" : "";
  return `expected a string, got ${kindOf(value)}${hint}`;
}

function kindOf(value: Located): string {
  if (value.kind === "map") return "a mapping";
  if (value.kind === "list") return "a list";
  return value.value === null ? "null" : `a ${typeof value.value}`;
}

/** A scalar as itself; of a mapping or list only what it is, for it may be large. */
function plain(value: Located): unknown {
  return value.kind === "scalar" ? value.value : undefined;
}
