import { signature } from "./scan.ts";

/** The largest manifest file, 2 MiB; the Kubernetes API takes no object above 1.5 MiB. */
export const MAX_FILE_BYTES = 2 * 1024 * 1024;

/** A manifest file as it was read: its text, or why there is none. */
export type ReadFile =
  & {
    /** Of what was read. */
    readonly signature: string;
    /** Whether it was written meanwhile and must be read again. */
    readonly isUnsettled: boolean;
  }
  & (
    | { readonly text: string; readonly reason?: undefined }
    | { readonly text?: undefined; readonly reason: string }
  );

/** Reads a file whole. @returns undefined when it is not there. */
export async function readManifestFile(path: string): Promise<ReadFile | undefined> {
  try {
    const before = await Deno.stat(path);
    const mark = signature(before);
    if (!before.isFile) return unreadable(mark, "not a regular file");
    if (before.size > MAX_FILE_BYTES) {
      return unreadable(mark, `${before.size} bytes; at most ${MAX_FILE_BYTES} are read`);
    }
    const bytes = await Deno.readFile(path);
    const isUnsettled = signature(await Deno.stat(path)) !== mark;
    return { signature: mark, isUnsettled, ...decode(bytes) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return unreadable("unreadable", error instanceof Error ? error.message : String(error));
  }
}

function unreadable(mark: string, reason: string): ReadFile {
  return { signature: mark, isUnsettled: false, reason };
}

function decode(bytes: Uint8Array): { text: string } | { reason: string } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { reason: "it is not UTF-8" };
  }
}
