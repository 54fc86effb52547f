import { keepInput, readCorpus } from "./corpus.ts";
import { fuzz } from "./engine.ts";
import type { FuzzTarget } from "./target.ts";

/** Inputs with new outcomes that one run adds to the corpus at most, the shortest first. */
const MOST_KEPT = 24;
/** Inputs of one target in the tree; findings come on top. */
const MOST_FILES = 100;

/** How to run one target. */
export interface ChildOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly keep: boolean;
  /** File that always holds the input under way, for whoever watches. */
  readonly watched: string;
}

/** Runs one target in this process and tells what it found. @returns the exit code */
export async function runChild(target: FuzzTarget, options: ChildOptions): Promise<number> {
  using file = Deno.openSync(options.watched, { write: true });
  const startedMs = performance.now();
  const { inputs, outcomes, fresh, findings, summary } = await fuzz(target, {
    seed: options.seed,
    ms: options.seconds * 1000,
    onInput(input) {
      file.truncateSync();
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(input);
    },
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(
    `${target.name}: ${inputs} inputs in ${seconds} s, ${outcomes} outcomes, ` +
      `${findings.length} findings (seed ${options.seed})`,
  );
  if (summary !== "") console.log(`${target.name}: ${summary}`);
  for (const { input, error } of findings) {
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    console.log(`${keepInput(target.name, input, true)}:\n${text}`);
  }
  const room = Math.min(MOST_KEPT, Math.max(0, MOST_FILES - readCorpus(target.name).length));
  const kept = options.keep ? fresh.toSorted((a, b) => a.length - b.length).slice(0, room) : [];
  for (const input of kept) keepInput(target.name, input);
  return findings.length === 0 ? 0 : 1;
}
