import { runCommand } from "../../shared/testing/command.ts";
import { nativeTool } from "./tools.ts";

/** A program that is started and waited for. */
export interface Job {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** File that it reads as standard input. */
  readonly stdinFile?: string;
  /** File that takes what it writes. */
  readonly outputFile?: string;
}

/** How long jobs took, from fork to exit. */
export interface Launched {
  /** Of each, in the order of the jobs. */
  readonly milliseconds: readonly number[];
  /** From the first start to the last end. */
  readonly allMs: number;
}

/**
 * Runs jobs by bench/native/launch.c, so that what starts and reaps them costs next to nothing.
 * @param atOnce how many may run at the same time
 * @param inside command that is put in front, e.g. nsenter
 * @throws {Error} when a job does not exit with 0
 */
export async function launch(
  jobs: readonly Job[],
  atOnce: number,
  inside: readonly string[] = [],
): Promise<Launched> {
  const lines = jobs.map(({ argv, env = {}, stdinFile, outputFile }) =>
    [
      stdinFile ?? "/dev/null",
      outputFile ?? "/dev/null",
      ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
      "--",
      ...argv,
    ].join("\t")
  );
  const { stdout } = await runCommand([...inside, await nativeTool("launch"), String(atOnce)], {
    stdin: lines.map((line) => `${line}\n`).join(""),
    timeoutMs: 120_000,
  });
  const milliseconds: number[] = [];
  let allMs = NaN;
  for (const [index = "", code, ms] of stdout.trim().split("\n").map((line) => line.split(" "))) {
    if (code !== "0") {
      const job = jobs[Number(index)];
      const output = job?.outputFile === undefined ? "" : Deno.readTextFileSync(job.outputFile);
      throw new Error(`${job?.argv.join(" ")} exited with ${code}: ${output}`);
    }
    if (index === "all") allMs = Number(ms);
    else milliseconds[Number(index)] = Number(ms);
  }
  return { milliseconds, allMs };
}
