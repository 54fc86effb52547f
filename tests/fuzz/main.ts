/**
 * Runs the fuzzers, each for a while, and keeps the inputs that show a fault in tests/fuzz/corpus.
 *
 *     ./run fuzz [FILTER] [--seconds N] [--seed N] [--keep]
 *
 * FILTER: only the targets whose name holds it. --keep: mutated inputs with new outcomes go into the corpus too.
 */
import { parseArgs } from "node:util";
import { runChild } from "./child.ts";
import { watchTarget } from "./watch.ts";
import { TARGETS } from "./targets.ts";

const DEFAULT_SECONDS = 60;

interface Options {
  readonly filter: string;
  readonly seconds: number;
  readonly seed: number;
  readonly keep: boolean;
  /** The target that this process is to run itself; see watch.ts. */
  readonly child: string | undefined;
  readonly watched: string | undefined;
}

function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: `${DEFAULT_SECONDS}` },
      seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 32)}` },
      keep: { type: "boolean", default: false },
      child: { type: "string" },
      watched: { type: "string" },
    },
  });
  if (positionals.length > 1) {
    throw new TypeError(`${JSON.stringify(positionals[1])}: one FILTER only`);
  }
  return {
    filter: positionals[0] ?? "",
    seconds: number("--seconds", values.seconds, 1, 86_400),
    seed: number("--seed", values.seed, 0, 2 ** 32 - 1),
    keep: values.keep,
    child: values.child,
    watched: values.watched,
  };
}

function number(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new TypeError(`${name} ${JSON.stringify(text)}: must be a number from ${least} to ${most}`);
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const { child, watched } = options;
  if (child !== undefined && watched !== undefined) {
    return await runChild(TARGETS.find(({ name }) => name === child)!, { ...options, watched });
  }
  const targets = TARGETS.filter(({ name }) => name.includes(options.filter));
  if (targets.length === 0) {
    const known = TARGETS.map(({ name }) => name).join(", ");
    throw new TypeError(`${JSON.stringify(options.filter)}: no such target among ${known}`);
  }
  let failed = 0;
  for (const target of targets) if (!await watchTarget(target, options)) failed++;
  console.log(`${targets.length - failed} of ${targets.length} fuzzers found nothing`);
  return failed === 0 ? 0 : 1;
}

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  if (!(error instanceof TypeError) || Deno.args.includes("--child")) throw error;
  console.error(`fuzz: ${error.message}`);
  Deno.exit(2);
}
