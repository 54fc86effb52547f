import { createRpcClient, type RpcClient } from "../../shared/rpc/client.ts";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { POLICY_ENCODERS } from "../../shared/policies/encode.ts";
import type { RunningCommand } from "../../shared/testing/command.ts";
import type { LabNode } from "../../shared/testing/node.ts";

const POLL_MS = 1;
const MOST_MS = 20_000;

/** A client of a node's dataplane, for calls that take long. The caller closes it. */
export function dataplaneClient(node: LabNode): RpcClient<typeof DataplaneControl> {
  return createRpcClient(DataplaneControl, {
    socketPath: node.socket("dataplane.sock"),
    timeoutMs: 60_000,
    encoders: POLICY_ENCODERS,
  });
}

/** Starts novanet-dataplane. */
export function launchDataplane(node: LabNode, flags: readonly string[] = []): RunningCommand {
  return node.netns.start([
    node.executable("novanet-dataplane"),
    `--socket=${node.socket("dataplane.sock")}`,
    `--pin-dir=${node.pinDir}`,
    ...flags,
  ]);
}

/**
 * Milliseconds from the start of the process until the first call is answered.
 * @throws {Error} when it ends instead
 */
export async function startToServing(
  node: LabNode,
): Promise<{ milliseconds: number; daemon: RunningCommand }> {
  await removeSocket(node);
  const started = performance.now();
  const daemon = launchDataplane(node);
  while (!await accepts(node)) {
    if (daemon.exited || performance.now() - started > MOST_MS) {
      throw new Error(`novanet-dataplane does not serve:\n${daemon.stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  using client = dataplaneClient(node);
  await client.getDataplaneStatus({});
  return { milliseconds: performance.now() - started, daemon };
}

/** What a killed daemon leaves would else answer the first poll. */
async function removeSocket(node: LabNode): Promise<void> {
  try {
    await Deno.remove(node.socket("dataplane.sock"));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function accepts(node: LabNode): Promise<boolean> {
  try {
    using _connection = await Deno.connect({
      transport: "unix",
      path: node.socket("dataplane.sock"),
    });
    return true;
  } catch {
    return false;
  }
}

/** Processor time that a process has used, in microseconds. */
export function cpuUs(pid: number): number {
  // The second field, the name, may hold spaces; times are in 1/100 s (proc_pid_stat(5)).
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Resident memory of a process in MB (10^6 bytes). The program is the child of the nsenter that was started, or took its place. */
export function residentMb(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024 / 1e6;
}
