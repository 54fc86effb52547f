import { createHash } from "node:crypto";
import { join } from "node:path";
import { ROOT } from "./command.ts";

/**
 * Every file under a folder of the checkout, sorted.
 *
 * @param folder relative to the checkout; one that is not there holds nothing
 * @param wanted says of a path relative to the checkout whether it counts
 */
export function filesUnder(folder: string, wanted: (path: string) => boolean): string[] {
  const found: string[] = [];
  const walk = (path: string) => {
    for (const entry of Deno.readDirSync(join(ROOT, path))) {
      const inside = `${path}/${entry.name}`;
      if (entry.isDirectory) {
        if (entry.name !== "node_modules") walk(inside);
      } else if (wanted(inside)) found.push(inside);
    }
  };
  if (exists(folder)) walk(folder);
  return found.sort();
}

/** Is there a file or folder with this path, relative to the checkout? */
export function exists(path: string): boolean {
  try {
    Deno.statSync(join(ROOT, path));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * A hash over names and contents of files and over further values.
 *
 * @param paths relative to the checkout; a missing file counts as such
 * @param values whatever else the result of a step depends on
 */
export function contentHash(paths: readonly string[], values: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths) {
    hash.update(`file ${path}\0`);
    if (exists(path)) {
      hash.update(createHash("sha256").update(Deno.readFileSync(join(ROOT, path))).digest());
    }
  }
  for (const value of values) hash.update(`value ${value}\0`);
  return hash.digest("hex");
}
