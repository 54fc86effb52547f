import { dirname } from "node:path";

/**
 * Waits for a change in a file's directory, so that a daemon that binds its socket again is noticed
 * at once, at most for a while.
 * @param path the file; its directory may be missing, then the time alone counts
 * @param maxMs how long at most, in milliseconds
 * @param signal ends the wait
 */
export async function waitForFileEvent(
  path: string,
  maxMs: number,
  signal: AbortSignal,
): Promise<void> {
  const watcher = openWatcher(dirname(path));
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, maxMs);
  signal.addEventListener("abort", () => resolve(), { once: true });
  if (signal.aborted) resolve();
  if (watcher !== undefined) nextEvent(watcher, path).then(resolve, resolve);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    watcher?.close();
  }
}

function openWatcher(dir: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(dir, { recursive: false });
  } catch {
    return undefined;
  }
}

/** By hand: leaving a loop over the watcher would close it. */
async function nextEvent(watcher: Deno.FsWatcher, path: string): Promise<void> {
  const events = watcher[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await events.next();
    if (done || (value.kind !== "access" && value.paths.includes(path))) return;
  }
}
