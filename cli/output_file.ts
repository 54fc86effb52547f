import { CliError, toCliError } from "./errors.ts";
import { ExitCode } from "./exit_codes.ts";
import type { FileSink, Io } from "./io.ts";

/**
 * Opens the file of -w, which is replaced when it is there. See {@linkcode Io.createFile}.
 * @param path as it was given; undefined: `otherwise` is opened, and must not be there yet.
 * @throws {CliError} that names flag and path
 */
export function openOutput(io: Io, path: string | undefined, otherwise: string): FileSink {
  if (path === "") {
    const why = '-w "": expected the name of a file, or - for standard output';
    throw new CliError(ExitCode.USAGE, why);
  }
  try {
    return io.createFile(path ?? otherwise, path !== undefined);
  } catch (thrown) {
    const { exitCode, message } = toCliError(thrown);
    // The path follows in the system's text too.
    const why = message.replace(/( \(os error \d+\))?(: open '.*')?$/s, "");
    const what = path === undefined ? `${otherwise} (another with -w FILE)` : `-w ${path}`;
    throw new CliError(exitCode, `${what}: ${why}`, { cause: thrown });
  }
}
