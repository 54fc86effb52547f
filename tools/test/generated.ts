import { contentHash, exists, filesUnder } from "../build/files.ts";
import { generateSteps } from "../build/generate.ts";
import { targetOf } from "../build/target.ts";

/** Every committed file that the build generates, and what an earlier build left in their folders. */
function generatedFiles(): string[] {
  const made = generateSteps(targetOf()).flatMap((step) => step.outputs());
  return [...new Set([...made, ...filesUnder("shared/gen", () => true)])].filter(exists);
}

/** The generated files as they are now: path -> hash of the content. */
export function generatedNow(): ReadonlyMap<string, string> {
  return new Map(generatedFiles().map((path) => [path, contentHash([path], [])]));
}

/** The paths that are in one of two states only, or differ between them. */
export function changedPaths(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path)).sort();
}
