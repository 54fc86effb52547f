import { agentDaemon } from "./agent.ts";
import { capture } from "./commands/capture.ts";
import { doctor } from "./commands/doctor.ts";
import { flows } from "./commands/flows.ts";
import { egress, identity, pods, policy, tunnels } from "./commands/lists.ts";
import { explainPolicy, suggestPolicy } from "./commands/policy.ts";
import { metrics, status } from "./commands/status.ts";
import { sysdump } from "./commands/sysdump.ts";
import { trace } from "./commands/trace.ts";
import { version } from "./commands/version.ts";
import { daemonError, toCliError } from "./errors.ts";
import { ExitCode } from "./exit_codes.ts";
import type { Io } from "./io.ts";
import { type Options, parseArgs } from "./options.ts";

const CLEAR_TERMINAL = "\x1b[H\x1b[2J\x1b[3J";

/** novanetctl: parses, runs and prints. Never throws. @param args without the program's name. */
export async function main(args: readonly string[], io: Io): Promise<ExitCode> {
  try {
    const parsed = parseArgs(args, io.stdout.columns);
    if ("options" in parsed) return await run(parsed.options, io);
    const { stdout, stderr, exitCode } = parsed.finished;
    if (stdout !== "") await io.stdout.write(stdout);
    if (stderr !== "") await io.stderr.write(stderr);
    return exitCode;
  } catch (thrown) {
    return await report(thrown, io);
  }
}

/** Runs a parsed command line. Failures are printed. */
export async function run(options: Options, io: Io): Promise<ExitCode> {
  try {
    await perform(options, io);
    return ExitCode.OK;
  } catch (thrown) {
    return await report(daemonError(agentDaemon(options), thrown), io);
  }
}

async function perform(options: Options, io: Io): Promise<void> {
  switch (options.command) {
    case "flows":
    case "drops":
      return await flows(options, io);
    case "capture":
      return await capture(options, io);
    case "sysdump":
      return await sysdump(options, io);
    case "doctor":
      return await doctor(options, io);
    case "version":
      return await version(options, io);
    default:
      return options.watch ? await watch(options, io) : await once(options, io);
  }
}

type OnceOptions = Exclude<
  Options,
  { readonly command: "flows" | "drops" | "capture" | "sysdump" | "doctor" | "version" }
>;

async function once(options: OnceOptions, io: Io): Promise<void> {
  switch (options.command) {
    case "status":
      return await status(options, io);
    case "metrics":
      return await metrics(options, io);
    case "trace":
      return await trace(options, io);
    case "policy":
      return await policy(options, io);
    case "policy explain":
      return await explainPolicy(options, io);
    case "policy suggest":
      return await suggestPolicy(options, io);
    case "identity":
      return await identity(options, io);
    case "pods":
      return await pods(options, io);
    case "tunnels":
      return await tunnels(options, io);
    case "egress":
      return await egress(options, io);
  }
}

/** Prints again and again; an agent that goes away is waited for. */
async function watch(options: OnceOptions, io: Io): Promise<void> {
  const signal = io.interrupted();
  while (!signal.aborted) {
    if (io.stdout.columns !== undefined) await io.stdout.write(CLEAR_TERMINAL);
    try {
      await once(options, io);
    } catch (thrown) {
      const error = daemonError(agentDaemon(options), thrown);
      if (error.exitCode !== ExitCode.UNREACHABLE) throw error;
      await io.stderr.write(`Note: ${error.message}\n`);
    }
    await io.sleep(options.interval * 1000, signal);
  }
}

/** A reader that went away, as `head` does, is no failure. */
async function report(thrown: unknown, io: Io): Promise<ExitCode> {
  const error = toCliError(thrown);
  if (isBrokenPipe(error)) return ExitCode.OK;
  try {
    await io.stderr.write(`Error: ${error.message.replaceAll(/\s+/g, " ")}\n`);
  } catch {
    // Nobody reads stderr either; the exit code is left.
  }
  return error.exitCode;
}

function isBrokenPipe(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error instanceof Deno.errors.BrokenPipe || isBrokenPipe(error.cause);
}
