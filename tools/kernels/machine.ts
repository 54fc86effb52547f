/** One emulated machine that runs one job and powers off. */

import { join } from "node:path";

/** What QEMU prints last of a job that ended; a kernel that panics ends QEMU well too. */
const ENDED = /^JOB-ENDED (\d+)\r?$/m;

/** How a job went. */
export interface JobResult {
  /** Exit code; undefined when the machine ended, or was ended, before the job did. */
  readonly code: number | undefined;
  /** What the machine's console showed. */
  readonly console: string;
}

/** Options of {@linkcode runJob}. */
export interface JobOptions {
  /** Uncompressed kernel. */
  readonly kernel: string;
  readonly initrd: string;
  /** Shell commands, run as root on a copy of this machine's files; what they write is gone with the machine. */
  readonly script: string;
  /** Folder for the job's file, which the machine sees. */
  readonly dir: string;
  readonly limitMs: number;
  /** Gets the console's text as it comes. */
  readonly onText: (text: string) => void;
}

const MEMORY_MIB = 3072;

/** Runs a job. There is no KVM where this is needed: QEMU emulates, with one thread (with several its kernels panic). */
export async function runJob(options: JobOptions): Promise<JobResult> {
  const { kernel, initrd, script, dir, limitMs, onText } = options;
  const job = join(dir, "job.sh");
  await Deno.writeTextFile(
    job,
    `(\n${script}\n) < /dev/null\necho "JOB-ENDED $?"\necho o > /proc/sysrq-trigger\nread -r _ < /dev/console\n`,
  );
  // deno-fmt-ignore
  const args = [
    "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", String(MEMORY_MIB),
    "-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
    "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    "-append", `console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off job=${job}`,
  ];
  const child = new Deno.Command("qemu-system-x86_64", {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  let text = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    onText(part);
  }
  await child.status;
  clearTimeout(timer);
  const code = ENDED.exec(text)?.[1];
  return { code: code === undefined ? undefined : Number(code), console: text };
}
