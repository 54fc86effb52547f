import { dirname, join, normalize } from "node:path";
import { ROOT } from "../../tools/build/command.ts";
import { filesUnder } from "../../tools/build/files.ts";

/** The project's TypeScript and what each file imports. */
export interface ImportGraph {
  /** Path relative to the checkout -> text without comments. */
  readonly code: ReadonlyMap<string, string>;
  /** Path -> what it imports: files of the project by path, other modules by specifier. Types count too. */
  readonly imports: ReadonlyMap<string, ReadonlySet<string>>;
}

const FOLDERS = ["agent", "bench", "cli", "cni", "dataplane", "demo", "shared", "tests", "tools"];

const IMPORT =
  /\b(?:import|export)\s+(?:type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?["']([^"'\n]+)["']|\bimport\s*\(\s*["']([^"'\n]+)["']/g;

/** Reads every .ts file of the project's folders. */
export function readImportGraph(): ImportGraph {
  const code = new Map<string, string>();
  const imports = new Map<string, ReadonlySet<string>>();
  for (const path of FOLDERS.flatMap((folder) => filesUnder(folder, isTypeScript))) {
    const text = withoutComments(Deno.readTextFileSync(join(ROOT, path)));
    code.set(path, text);
    imports.set(path, new Set(specifiers(text).map((specifier) => resolve(path, specifier))));
  }
  return { code, imports };
}

/** Every file of the project that a file needs, itself included. */
export function closure(graph: ImportGraph, start: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path) || !graph.imports.has(path)) return;
    seen.add(path);
    for (const imported of graph.imports.get(path)!) visit(imported);
  };
  visit(start);
  return seen;
}

/** The specifiers of import and export declarations and of import() with a literal. */
export function specifiers(text: string): string[] {
  return [...text.matchAll(IMPORT)].map(([, declared, dynamic]) => (declared ?? dynamic)!);
}

/** Blanks comments; text that looks like one inside a string literal stays. */
export function withoutComments(text: string): string {
  return text.replace(
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (found) => found.startsWith("//") || found.startsWith("/*") ? " " : found,
  );
}

function isTypeScript(path: string): boolean {
  return path.endsWith(".ts");
}

function resolve(importer: string, specifier: string): string {
  return specifier.startsWith(".") ? normalize(join(dirname(importer), specifier)) : specifier;
}
