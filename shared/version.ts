/** The version of all four executables. */
export const VERSION = "0.1.0";

/** Put in place of the name by esbuild; not there when run from source. */
declare const NOVANET_COMMIT: string | undefined;

/** Abbreviated hash of the commit that was built, `-dirty` after it when files differed; `source` when not built. */
export const COMMIT: string = typeof NOVANET_COMMIT === "string" ? NOVANET_COMMIT : "source";

/**
 * The line that `--version` prints.
 *
 * @param program name of the executable
 * @returns such as `novanet-agent 0.1.0 (commit abc1234, deno 2.7.14)`
 */
export function versionLine(program: string): string {
  return `${program} ${VERSION} (commit ${COMMIT}, deno ${Deno.version.deno})`;
}
