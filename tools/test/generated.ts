import { contentHash, filesUnder } from "../build/files.ts";

const GENERATED_PAGES: ReadonlySet<string> = new Set([
  "docs/api.md",
  "docs/configuration.md",
  "docs/metrics.md",
]);

/** Every committed file that the build generates. */
function generatedFiles(): string[] {
  return [
    ...filesUnder("shared/gen", () => true),
    ...filesUnder("bpf/lib/gen", () => true),
    ...filesUnder("docs", (path) => GENERATED_PAGES.has(path)),
  ];
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
