import { COMMIT, VERSION, versionLine } from "../../shared/version.ts";
import type { Io } from "../io.ts";
import type { GlobalOptions } from "../options.ts";
import { printFields } from "../output.ts";

/** `version`: one line, or an object with `version`, `commit` and `deno`. Asks no daemon. */
export async function version(options: GlobalOptions, io: Io): Promise<void> {
  const { output } = options;
  if (output === "json" || output === "yaml") {
    const json = { version: VERSION, commit: COMMIT, deno: Deno.version.deno };
    return await printFields(io, options, [], json);
  }
  await io.stdout.write(`${versionLine("novanetctl")}\n`);
}
