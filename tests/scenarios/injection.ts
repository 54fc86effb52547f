import { eventually } from "../../shared/testing/eventually.ts";
import type { NetnsLab } from "../../shared/testing/lab.ts";
import type { RunningCommand } from "../../shared/testing/command.ts";

const LONGEST_MS = 120_000;
/** A process that is killed closes its connections a moment before it is seen to be dead. */
const DYING_MS = 200;

/** What becomes of one system call of a running process. */
export interface Injection {
  /** Name of the system call, as strace has it. */
  readonly call: string;
  /** An error's name that the call answers, or the process is killed (SIGKILL) in it. */
  readonly what: string | "kill";
  /** Which one of these calls, counted from the start by each thread; from 1. */
  readonly nth: number;
}

/**
 * Lets one system call of a process fail from outside while `act` runs, by ptrace: the process itself has no
 * part in it.
 * @param act returns whether the process may be dying
 * @returns whether the call was made, so that it failed or the process died
 * @throws {EventuallyError} when strace cannot attach
 */
export async function withInjection(
  lab: NetnsLab,
  pid: number,
  { call, what, nth }: Injection,
  act: () => Promise<boolean>,
): Promise<boolean> {
  const fault = what === "kill" ? "signal=SIGKILL" : `error=${what}`;
  await using strace: RunningCommand = lab.start([
    "strace",
    "-f",
    ...["-e", `trace=${call}`],
    ...["-e", `inject=${call}:${fault}:when=${nth}`],
    ...["-p", String(pid)],
  ]);
  await eventually(() => {
    if (strace.exited) throw new Error(strace.stderr);
    return strace.stderr.includes("attached");
  }, { intervalMs: 2, what: "strace that is attached" });
  let waitUntil = Infinity;
  const acting = act().then(
    (mayDie) => waitUntil = performance.now() + (mayDie ? DYING_MS : 0),
    (error) => {
      waitUntil = performance.now();
      throw error;
    },
  );
  acting.catch(() => {});
  // It ends when its threads are reaped, which strace would wait for and does not do.
  const killed = await eventually(async () => {
    if (await isDead(pid)) return "yes";
    return performance.now() >= waitUntil && "no";
  }, { intervalMs: 5, timeoutMs: LONGEST_MS, what: "the end of what fails" }) === "yes";
  if (killed) await strace.kill();
  await acting;
  if (killed) return true;
  strace.signal("SIGINT");
  return (await strace.wait()).stderr.includes("(INJECTED)");
}

/** Whether a process has ended, though its parent may not have noticed yet. */
export async function isDead(pid: number): Promise<boolean> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    return stat.slice(stat.lastIndexOf(")")).startsWith(") Z");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    // ESRCH: gone between the opening of the file and the reading of it.
    if (error instanceof Error && error.message.includes("(os error 3)")) return true;
    throw error;
  }
}
