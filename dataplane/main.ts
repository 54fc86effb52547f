/** novanet-dataplane: reads the command line, and serves, cleans up or says what it is. */

import { configureLogging, getLogger } from "../shared/log.ts";
import { versionLine } from "../shared/version.ts";
import { cleanUp, PodsRunError } from "./cleanup.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { FlagError, type Flags, helpText, parseFlags } from "./flags.ts";
import { LockedError, PinDirError } from "./lock.ts";
import { NewerLayoutError } from "./migration/layouts.ts";
import { MigrationError } from "./migration/map_transfer.ts";
import { missing, readMachineFacts } from "./preflight.ts";
import { PinMismatchError } from "./programs/pinned_maps.ts";

/** Exit codes, as the help page lists them. */
const EXIT = {
  DONE: 0,
  FAILED: 1,
  BAD_FLAGS: 2,
  MACHINE_LACKS: 3,
  NEWER_MAPS: 4,
  PODS_RUN: 5,
} as const;

const log = getLogger("dataplane");

async function main(args: readonly string[]): Promise<number> {
  const memoryBytes = Deno.systemMemoryInfo().total;
  let flags: Flags;
  try {
    flags = parseFlags(args, memoryBytes);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    console.error(`novanet-dataplane: ${error.message}`);
    return EXIT.BAD_FLAGS;
  }
  configureLogging({ level: flags.logLevel, format: flags.logFormat });
  switch (flags.action) {
    case "help":
      console.log(helpText(memoryBytes).trimEnd());
      return EXIT.DONE;
    case "version":
      console.log(versionLine("novanet-dataplane"));
      return EXIT.DONE;
    case "cleanup":
      return clean(flags);
    case "serve":
      return await serve(flags);
  }
}

function clean(flags: Flags): number {
  const removed = cleanUp(flags);
  console.log(removed.length > 0 ? removed.join("\n") : "nothing to remove");
  return EXIT.DONE;
}

async function serve(flags: Flags): Promise<number> {
  // Only a machine that has all of it is changed.
  const problems = missing(readMachineFacts());
  for (const problem of problems) log.error(problem);
  if (problems.length > 0) return EXIT.MACHINE_LACKS;

  const stopping = untilSignal();
  const daemon: Daemon = await startDaemon(flags);
  const signal = await stopping;
  log.info("stopping; programs and maps stay", { signal });
  await daemon.stop();
  return EXIT.DONE;
}

/** Says why it failed; what a person can mend in one line. */
function report(error: unknown): number {
  if (error instanceof LockedError) {
    console.error(`novanet-dataplane: ${error.message}`);
    return EXIT.FAILED;
  }
  if (error instanceof PodsRunError) {
    console.error(`novanet-dataplane: ${error.message}`);
    return EXIT.PODS_RUN;
  }
  if (error instanceof PinDirError) {
    log.error(error.message);
    return EXIT.MACHINE_LACKS;
  }
  if (error instanceof NewerLayoutError) {
    log.error(error.message);
    return EXIT.NEWER_MAPS;
  }
  if (error instanceof MigrationError || error instanceof PinMismatchError) {
    log.error(error.message);
    return EXIT.FAILED;
  }
  log.error("failed", { error });
  return EXIT.FAILED;
}

/** Resolves with the first signal that asks to stop. */
function untilSignal(): Promise<Deno.Signal> {
  const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => resolve(signal));
  }
  return promise;
}

configureLogging({ level: "info" });
let exitCode: number;
try {
  exitCode = await main(Deno.args);
} catch (error) {
  exitCode = report(error);
}
Deno.exit(exitCode);
