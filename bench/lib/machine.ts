import { tryCommand } from "../../shared/testing/command.ts";

/** Where and on what figures were measured. */
export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly deno: string;
}

/** Facts about this machine. */
export function machineFacts(): Machine {
  const cpu = /^model name\s*: (.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  return {
    cpu: cpu ?? Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    memoryGib: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
  };
}

/** The checkout's commit, with `-dirty` when tracked files differ; empty without git. */
export async function commit(): Promise<string> {
  const { code, stdout } = await tryCommand(["git", "describe", "--always", "--dirty"], {
    cwd: import.meta.dirname ?? ".",
  });
  return code === 0 ? stdout.trim() : "";
}

/**
 * How busy the machine is with other things: the share of all processors' time, 0 to 1, that was used in the last
 * `seconds` while this process did nothing.
 */
export async function busyShare(seconds: number): Promise<number> {
  const before = cpuTimes();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const after = cpuTimes();
  return 1 - (after.idle - before.idle) / (after.total - before.total);
}

function cpuTimes(): { idle: number; total: number } {
  const [first = ""] = Deno.readTextFileSync("/proc/stat").split("\n", 1);
  // cpu user nice system idle iowait irq softirq steal: guest times are part of user's.
  const times = first.split(/\s+/).slice(1, 9).map(Number);
  const idle = (times[3] ?? 0) + (times[4] ?? 0);
  return { idle, total: times.reduce((sum, each) => sum + each, 0) };
}
