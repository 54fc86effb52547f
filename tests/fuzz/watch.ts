import { fileURLToPath } from "node:url";
import { keepInput } from "./corpus.ts";
import type { FuzzTarget } from "./target.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
/** Setting up and taking down, seeds and corpus included. */
const SPARE_MS = 90_000;

/** How to run one target. */
export interface WatchOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly keep: boolean;
}

/**
 * Runs one target in a process of its own: an input on which that one hangs or crashes is kept as a finding too.
 * @returns whether nothing was found
 */
export async function watchTarget(target: FuzzTarget, options: WatchOptions): Promise<boolean> {
  const watched = await Deno.makeTempFile({ prefix: "nvfuzz-", dir: "/dev/shm" });
  try {
    const child = new Deno.Command(Deno.execPath(), {
      // deno-fmt-ignore
      args: [
        "run", "-A", MAIN, "--child", target.name, "--watched", watched,
        "--seconds", `${options.seconds}`, "--seed", `${options.seed}`,
        ...options.keep ? ["--keep"] : [],
      ],
      stdin: "null",
    }).spawn();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, options.seconds * 1000 + SPARE_MS);
    const { code, signal } = await child.status;
    clearTimeout(timer);
    if (code === 0) return true;
    // 1 has told itself what it found.
    if (signal !== null || code > 1) {
      const path = keepInput(target.name, await Deno.readFile(watched), true);
      console.log(
        `${path}: ${late ? "the fuzzer hangs" : `the fuzzer ended by ${signal ?? code}`}`,
      );
    }
    return false;
  } finally {
    await Deno.remove(watched);
  }
}
