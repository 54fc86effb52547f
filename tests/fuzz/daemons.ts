import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { must } from "./target.ts";

/** What a daemon may have more than at the beginning once all is quiet again. */
const MOST_DESCRIPTORS = 16;
const MOST_GROWTH_BYTES = 200 * 2 ** 20;
const HEALTH_TIMEOUT_MS = 30_000;
/** How an error looks that nobody caught, or that native code met. */
const CRASH = /Uncaught|panicked|free\(\)|malloc|Segmentation|deno_core|at (file|ext):\/\//;

interface Sample {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** A node with both compiled daemons, for a fuzzer. */
export class FuzzedDaemons implements AsyncDisposable {
  readonly lab: NetnsLab;
  readonly node: LabNode;
  #before: ReadonlyMap<number, Sample> = new Map();

  private constructor(lab: NetnsLab, node: LabNode) {
    this.lab = lab;
    this.node = node;
  }

  /** Starts it. */
  static async start(): Promise<FuzzedDaemons> {
    await using building = new AsyncDisposableStack();
    const lab = building.use(new NetnsLab());
    const node = await LabNode.create(lab);
    await node.start();
    building.move();
    return new FuzzedDaemons(lab, node);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.lab[Symbol.asyncDispose]();
  }

  /** Notes what the daemons have now, when they are warm. */
  markBaseline(): void {
    this.#before = new Map(this.node.daemons.map(({ pid }) => [pid, sample(pid)]));
  }

  /** Fails unless both run and answer. @throws {Fault} */
  async checkAlive(): Promise<void> {
    for (const daemon of this.node.daemons) {
      must(!daemon.exited, `${daemon.argv.join(" ")} ended:\n${daemon.stderr.slice(-2000)}`);
      const crash = CRASH.exec(daemon.stderr);
      must(
        crash === null,
        `a daemon says:\n${daemon.stderr.slice(crash?.index ?? 0).slice(0, 2000)}`,
      );
    }
    // A connection of its own: that of a fuzzer may be anything by now.
    using client = createRpcClient(AgentControl, { socketPath: this.node.socket("novanet.sock") });
    const status = await client.getAgentStatus({}, { timeoutMs: HEALTH_TIMEOUT_MS });
    must(status.dataplane?.connected === true, "the agent has lost the dataplane");
  }

  /** Fails when a daemon kept what it should have given back. @throws {EventuallyError} {Fault} */
  async checkLeaks(): Promise<void> {
    must(this.#before.size > 0, "nothing was noted that daemons could be compared with");
    for (const [pid, before] of this.#before) {
      await eventually(() => {
        const now = sample(pid);
        must(
          now.descriptors <= before.descriptors + MOST_DESCRIPTORS,
          `process ${pid} has ${now.descriptors} descriptors, and had ${before.descriptors}`,
        );
        const grown = now.residentBytes - before.residentBytes;
        must(grown <= MOST_GROWTH_BYTES, `process ${pid} grew by ${grown >> 20} MiB`);
        return true;
      }, { timeoutMs: 20_000, intervalMs: 200, what: "daemons as they were" });
    }
  }
}

function sample(pid: number): Sample {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return {
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024,
  };
}
