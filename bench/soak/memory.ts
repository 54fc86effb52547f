import { median } from "../lib/stats.ts";

/** A process at one moment. */
export interface ProcessSample {
  readonly residentMb: number;
  readonly descriptors: number;
}

/** Reads a process's memory and descriptors. @throws {Deno.errors.NotFound} when it has ended */
export function sampleProcess(pid: number): ProcessSample {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return {
    residentMb: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024 / 1e6,
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
  };
}

/** From the first third of a list of samples to its last third, medians of each. */
export interface Growth {
  readonly from: ProcessSample;
  readonly to: ProcessSample;
}

/** How a process grew. @throws {RangeError} with fewer than three samples */
export function growthOf(samples: readonly ProcessSample[]): Growth {
  const third = Math.floor(samples.length / 3);
  const middle = (part: readonly ProcessSample[]): ProcessSample => ({
    residentMb: median(part.map(({ residentMb }) => residentMb)),
    descriptors: median(part.map(({ descriptors }) => descriptors)),
  });
  return { from: middle(samples.slice(0, third)), to: middle(samples.slice(-third)) };
}
