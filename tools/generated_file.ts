import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function contentOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Ends a generator: writes its file, or with `--check` among the arguments only compares it.
 * @param path relative to the checkout
 * @param content what the file should hold
 * @param args the generator's arguments
 * @returns the exit code: 1 when --check finds another content
 */
export function writeOrCheck(path: string, content: string, args: readonly string[]): number {
  const file = join(ROOT, path);
  const current = contentOf(file) === content;
  if (args.includes("--check")) {
    if (!current) console.error(`${path} is not current: run \`deno task build\``);
    return current ? 0 : 1;
  }
  if (!current) {
    Deno.mkdirSync(dirname(file), { recursive: true });
    Deno.writeTextFileSync(file, content);
  }
  return 0;
}
