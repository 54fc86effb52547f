import type { RunningCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { Path } from "./paths.ts";
import type { Placement } from "./placement.ts";

/** Starts iperf3's server on a path; it ends with the lab. */
export async function serveIperf(path: Path): Promise<void> {
  const server: RunningCommand = path.server.start(["iperf3", "-s", "--forceflush"]);
  await eventually(() => {
    if (server.exited) throw new Error(`iperf3: ${server.stderr}`);
    return server.stdout.includes("listening");
  }, { what: "iperf3 that listens" });
}

interface IperfResult {
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum?: { readonly bits_per_second: number; readonly lost_percent: number };
  };
}

async function run(
  path: Path,
  { client, server }: Placement,
  args: readonly string[],
): Promise<IperfResult> {
  const affinity = ["-A", `${client},${server}`];
  const { stdout } = await path.client.run([
    "iperf3",
    "-J",
    "-c",
    path.address,
    ...affinity,
    ...args,
  ]);
  return JSON.parse(stdout) as IperfResult;
}

/** A stream's first part, seconds: not measured. */
const WARM_UP = "0.3";

/**
 * Gbit/s that arrive over TCP. The congestion control is set, so that it is the same everywhere.
 * @param seconds measured
 */
export async function tcpGbits(
  path: Path,
  placement: Placement,
  streams: number,
  seconds: number,
): Promise<number> {
  const args = ["-C", "cubic", "-P", String(streams), "-O", WARM_UP, "-t", String(seconds)];
  const { end } = await run(path, placement, args);
  return (end.sum_received?.bits_per_second ?? NaN) / 1e9;
}

/** Gbit/s that arrive over UDP, of as much as can be sent. */
export async function udpGbits(
  path: Path,
  placement: Placement,
  seconds: number,
): Promise<number> {
  const args = ["-u", "-b", "0", "-l", "1400", "-t", String(seconds)];
  const { end } = await run(path, placement, args);
  const { bits_per_second = NaN, lost_percent = 0 } = end.sum ?? {};
  return bits_per_second * (1 - lost_percent / 100) / 1e9;
}
