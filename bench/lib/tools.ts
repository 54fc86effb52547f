/** Programs that the benchmarks need beside dist/, made in .build/bench when they are not there. */
import { join } from "node:path";
import { command, ROOT } from "../../tools/build/command.ts";
import { filesUnder } from "../../tools/build/files.ts";

const HERE = join(ROOT, "bench");
const OUT = join(ROOT, ".build", "bench");

/** Is the file at least as new as all of these? */
function isCurrent(path: string, sources: readonly string[]): boolean {
  try {
    const made = Deno.statSync(path).mtime ?? new Date(0);
    return sources.every((source) => (Deno.statSync(source).mtime ?? new Date()) <= made);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function make(
  name: string,
  sources: readonly string[],
  build: (path: string) => Promise<unknown>,
): Promise<string> {
  const path = join(OUT, name);
  if (isCurrent(path, sources)) return path;
  await Deno.mkdir(OUT, { recursive: true });
  await build(`${path}.new`);
  await Deno.rename(`${path}.new`, path);
  return path;
}

/**
 * A C program of bench/native, compiled.
 * @returns its path
 * @throws {CommandError} with what the compiler said
 */
export function nativeTool(
  name: "request_response" | "launch" | "flood",
): Promise<string> {
  const source = join(HERE, "native", `${name}.c`);
  return make(
    name,
    [source],
    (path) =>
      command(["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", path, source]),
  );
}

/** A C file of bench/bpf as an eBPF object, compiled as the datapath is. @throws {CommandError} */
export async function bpfObject(name: "vary"): Promise<Uint8Array<ArrayBuffer>> {
  const source = join(HERE, "bpf", `${name}.bpf.c`);
  const headers = filesUnder("bpf/lib", (file) => file.endsWith(".h")).map((path) =>
    join(ROOT, path)
  );
  // deno-fmt-ignore
  const path = await make(`${name}.bpf.o`, [source, ...headers], (out) => command([
    "clang", "-target", "bpf", "-g", "-O2", "-mcpu=v3", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-nostdinc",
    "-isystem", ".build/include", "-Ibpf", "-c", source, "-o", out,
  ]));
  return await Deno.readFile(path);
}

/**
 * The least that `deno compile` makes: a program that prints one word, by the same denort and with the same flags as
 * NovaNet's own.
 * @returns its path
 * @throws {CommandError}
 */
export function compiledHello(): Promise<string> {
  const denort = Deno.env.get("DENORT_BIN");
  return make("hello", denort === undefined ? [] : [denort], async (path) => {
    const dir = join(OUT, "hello-source");
    await Deno.mkdir(dir, { recursive: true });
    await Deno.writeTextFile(join(dir, "deno.json"), "{}\n");
    await Deno.writeTextFile(join(dir, "main.js"), 'console.log("hello");\n');
    // deno-fmt-ignore
    await command([
      Deno.execPath(), "compile", "--quiet", "--no-check", "--no-prompt", "--no-code-cache", "--output", path, "main.js",
    ], { cwd: dir });
  });
}
