import {
  AgentControl,
  DataplaneControl,
  type GetDataplaneStatusResponse,
} from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../../shared/rpc/client.ts";
import type { LabNode, LabPod } from "../../../shared/testing/node.ts";
import { nativeTool } from "../../lib/tools.ts";
import { type ProcessSample, sampleProcess } from "../memory.ts";

/** Calls that are slower than all bounds still give a figure. */
const RPC_TIMEOUT_MS = 30_000;
const PORT = "7000";

/** What was measured while the load was on. */
export class Watch {
  readonly dataplane: ProcessSample[] = [];
  readonly agent: ProcessSample[] = [];
  /** Milliseconds that calls took. */
  readonly rpcMs: number[] = [];
  /** 99th percentiles of exchanges between two pods, in microseconds. */
  readonly packetP99Us: number[] = [];
  /** What went wrong. */
  readonly failures: string[] = [];
  last: GetDataplaneStatusResponse | undefined;
  readonly #node: LabNode;

  constructor(node: LabNode) {
    this.#node = node;
  }

  /** Samples both daemons and asks each for its status, once. */
  async sample(): Promise<void> {
    this.dataplane.push(sampleProcess(this.#node.dataplane.pid));
    this.agent.push(sampleProcess(this.#node.agent.pid));
    // Connections of their own: nobody else's calls stand before these.
    using dataplane = createRpcClient(DataplaneControl, {
      socketPath: this.#node.socket("dataplane.sock"),
      timeoutMs: RPC_TIMEOUT_MS,
    });
    using agent = createRpcClient(AgentControl, {
      socketPath: this.#node.socket("novanet.sock"),
      timeoutMs: RPC_TIMEOUT_MS,
    });
    const timed = async <T>(call: Promise<T>): Promise<T> => {
      const started = performance.now();
      const answer = await call;
      this.rpcMs.push(performance.now() - started);
      return answer;
    };
    this.last = await timed(dataplane.getDataplaneStatus({}));
    await timed(agent.getAgentStatus({}));
    for (const { name, entries, maxEntries } of this.last.mapUsage) {
      if (entries > maxEntries) this.failures.push(`${name} holds ${entries} of ${maxEntries}`);
    }
  }

  /** Exchanges bytes between two pods for a second. */
  async exchange(from: LabPod, to: LabPod): Promise<void> {
    const tool = await nativeTool("request_response");
    const { code, stdout, stderr } = await from.netns.try([tool, "tcp", to.ip, PORT, "1"]);
    if (code !== 0) this.failures.push(`an exchange between pods: ${stderr}`);
    else this.packetP99Us.push(Number(stdout.split(" ")[2]));
  }

  /** Starts what answers in a pod. */
  static async serve(pod: LabPod): Promise<void> {
    pod.netns.start([await nativeTool("request_response"), "server", PORT]);
  }
}
