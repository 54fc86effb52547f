import { type ManifestFile, parseManifest } from "./manifest.ts";
import { type ManifestObject, objectKey } from "./types.ts";

/** A line that begins a document. It is one wherever it stands: not even quotes and blocks may hold it. */
const DOCUMENT_START = /^---(?=[\s]|$)/gm;
/** What lets documents have a say in each other, or may make much of little text: directives, ends, anchors. */
const NOT_ALONE = /^(%|\.\.\.)|[&*]/m;

/** A document of a file. */
interface Part {
  readonly text: string;
  /** Counted from 1. */
  readonly firstLine: number;
}

/**
 * Reads a file that changes: documents that stand as they stood at the last reading are not parsed again. What it
 * says is always what {@linkcode parseManifest} says of the whole text. Pure.
 */
export class ManifestReader {
  readonly #file: string;
  /** What the documents of the last text hold, those that are good. */
  #known: ReadonlyMap<string, readonly ManifestObject[]> = new Map();

  /** @param file its path, as parseManifest takes it */
  constructor(file: string) {
    this.#file = file;
  }

  /** Reads the file's text. */
  read(text: string): ManifestFile {
    const parts = this.#file.toLowerCase().endsWith(".json") ? [] : documentsOf(text);
    return (parts.length > 1 ? this.#readParts(parts) : undefined) ??
      parseManifest(this.#file, text);
  }

  /** @returns undefined when there is anything to be said, for which the whole text is needed */
  #readParts(parts: readonly Part[]): ManifestFile | undefined {
    const read = new Map<string, readonly ManifestObject[]>();
    for (const part of parts) {
      const key = `${part.firstLine} ${part.text}`;
      const objects = this.#known.get(key) ?? this.#readPart(part);
      if (objects === undefined) return undefined;
      read.set(key, objects);
    }
    this.#known = read;
    const objects = [...read.values()].flat();
    const isRepeated = new Set(objects.map(objectKey)).size < objects.length;
    return isRepeated ? undefined : { objects, errors: [], warnings: [] };
  }

  #readPart({ text, firstLine }: Part): readonly ManifestObject[] | undefined {
    const { objects, errors, warnings } = parseManifest(this.#file, text, { firstLine });
    return errors.length + warnings.length > 0 ? undefined : objects;
  }
}

/** @returns none when they are not independent of each other */
function documentsOf(text: string): Part[] {
  if (NOT_ALONE.test(text)) return [];
  const parts: Part[] = [];
  let [from, firstLine] = [0, 1];
  const add = (to: number) => {
    const part = text.slice(from, to);
    parts.push({ text: part, firstLine });
    firstLine += part.split("\n").length - 1;
    from = to;
  };
  for (const { index } of text.matchAll(DOCUMENT_START)) if (index > 0) add(index);
  add(text.length);
  return parts;
}
