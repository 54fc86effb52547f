import { dirname, join } from "node:path";
import { ROOT } from "../build/command.ts";
import { readJunit, type TestCase } from "./junit.ts";

/** What a stage of `./run test` found. */
export interface StageResult {
  readonly cases: readonly TestCase[];
  /** Shown when something failed. */
  readonly output: string;
}

/** One stage of `./run test`. */
export interface Stage {
  readonly name: string;
  run(): Promise<StageResult>;
}

/** How a program ended. */
interface Ended {
  readonly ok: boolean;
  readonly output: string;
}

/**
 * Runs this Deno with arguments, without standard input.
 *
 * @param args of Deno
 * @param limitMs after which it is killed
 */
async function deno(args: readonly string[], limitMs: number): Promise<Ended> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: {
      NO_COLOR: "1",
      PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitMs);
  // A grandchild that holds the pipe must not hold the run: what was read until then is the output.
  const output = new Array<string>();
  const read = Promise.all([gather(child.stdout, output), gather(child.stderr, output)]);
  const { success } = await child.status;
  clearTimeout(timer);
  await Promise.race([read, new Promise((resolve) => setTimeout(resolve, 2_000))]);
  if (late) output.push(`\nkilled after ${limitMs / 1000} s\n`);
  return { ok: success && !late, output: output.join("") };
}

async function gather(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) into.push(text);
}

/** A stage that is one check: it passes or it fails. */
export function checkStage(name: string, args: readonly string[], limitMs = 300_000): Stage {
  return {
    name,
    async run() {
      const { ok, output } = await deno(args, limitMs);
      return { cases: [{ file: name, name, state: ok ? "passed" : "failed" }], output };
    },
  };
}

/**
 * A stage that runs test files.
 *
 * @param options.files relative to the checkout
 * @param options.jobs files at once
 * @param options.limitMs after which the whole stage is killed and counts as failed
 */
export function testStage(
  name: string,
  options: { files: readonly string[]; jobs: number; limitMs: number },
): Stage {
  return {
    name,
    async run() {
      const junit = join(ROOT, ".build/test", `${name.replaceAll(" ", "-")}.xml`);
      Deno.mkdirSync(dirname(junit), { recursive: true });
      if (fileExists(junit)) Deno.removeSync(junit);
      const parallel = options.jobs > 1 ? ["--parallel"] : [];
      // deno-fmt-ignore
      const { ok, output } = await deno([
        "test", "-A", "--no-check", ...parallel, `--junit-path=${junit}`, ...options.files,
      ], options.limitMs);
      const cases = fileExists(junit) ? readJunit(Deno.readTextFileSync(junit)) : [];
      // Killed, crashed, or a file that could not be loaded: the report says nothing of it.
      if (!ok && !cases.some((one) => one.state === "failed")) {
        const file = unfinished(output, options.files).join(" ");
        cases.push({ file, name: "did not end", state: "failed" });
      }
      return { cases: cases.map(reasonRequired), output };
    },
  };
}

/** The files that were running when a run ended early: what `deno test` printed says so in two ways. */
function unfinished(output: string, files: readonly string[]): readonly string[] {
  const started = [...output.matchAll(/^running \d+ tests? from \.\/(\S+)$/gm)];
  if (started.length > 0) return [started.at(-1)![1]!];
  return files.filter((file) => !output.includes(`./${file} => `));
}

/** A skip must say what the machine lacks: `NAME [needs WHAT]`. */
function reasonRequired(one: TestCase): TestCase {
  if (one.state !== "skipped" || /\[needs [^\]]+\]/.test(one.name)) return one;
  return { ...one, name: `${one.name}: skipped without saying [needs ...]`, state: "failed" };
}

function fileExists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
