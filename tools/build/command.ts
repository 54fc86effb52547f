import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's absolute path, without a slash at its end. */
export const ROOT: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A program that a build step ran and that failed. */
export class CommandError extends Error {
  /**
   * @param command program and arguments
   * @param code its exit code
   * @param output what it wrote to both streams
   */
  constructor(
    readonly command: readonly string[],
    readonly code: number,
    readonly output: string,
  ) {
    super(`${command.join(" ")}: exit code ${code}\n${output}`.trimEnd());
    this.name = "CommandError";
  }
}

/** How to run a command. */
export interface CommandOptions {
  /** Working directory; default: the checkout. */
  readonly cwd?: string;
  /** Variables beside those of this process. */
  readonly env?: Record<string, string>;
}

/**
 * Runs a program to its end, without standard input.
 *
 * @returns what it wrote to standard output
 * @throws {CommandError} when it ends with another code than 0, or cannot be started (127)
 */
export async function command(
  argv: readonly [string, ...string[]],
  options: CommandOptions = {},
): Promise<string> {
  const [program, ...args] = argv;
  let result: Deno.CommandOutput;
  try {
    result = await new Deno.Command(program, {
      args,
      cwd: options.cwd ?? ROOT,
      // Steps that start `deno` or `buf` plugins find the pinned one first.
      env: {
        ...options.env,
        PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
        NO_COLOR: "1",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new CommandError(argv, 127, `Cannot start ${JSON.stringify(program)}: not found`);
  }
  const text = new TextDecoder();
  const stdout = text.decode(result.stdout);
  if (!result.success) {
    throw new CommandError(argv, result.code, stdout + text.decode(result.stderr));
  }
  return stdout;
}

/** First line of what a program prints, for stamps: a new compiler makes its step run again. */
export async function firstLine(argv: readonly [string, ...string[]]): Promise<string> {
  return (await command(argv)).split("\n", 1)[0] ?? "";
}
