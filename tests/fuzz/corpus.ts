import { createHash } from "node:crypto";
import { join } from "node:path";

const ROOT = join(import.meta.dirname ?? ".", "corpus");
/** Inputs that show a fault stay under this name, and are run by every test from then on. */
const FINDING = "finding-";

/** The folder of a target's inputs. */
export function corpusFolder(target: string): string {
  return join(ROOT, target);
}

/** @returns a target's inputs, in the order of their names. */
export function readCorpus(target: string): Uint8Array[] {
  const folder = corpusFolder(target);
  return names(folder).map((name) => Deno.readFileSync(join(folder, name)));
}

/** Keeps an input. @returns its path */
export function keepInput(target: string, input: Uint8Array, isFinding = false): string {
  const folder = corpusFolder(target);
  Deno.mkdirSync(folder, { recursive: true });
  const hash = createHash("sha256").update(input).digest("hex").slice(0, 12);
  const path = join(folder, `${isFinding ? FINDING : ""}${hash}`);
  Deno.writeFileSync(path, input);
  return path;
}

function names(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
