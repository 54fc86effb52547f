import { AgentControl, type FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode } from "../../shared/testing/node.ts";

/** All flow events of a node from the moment it is opened. */
export class FlowLog implements AsyncDisposable {
  readonly events: FlowEvent[] = [];
  readonly #end = new AbortController();
  readonly #done: Promise<void>;

  private constructor(node: LabNode) {
    this.#done = this.#read(node);
  }

  /**
   * Subscribes at the agent, and waits until events come.
   * @param provoke causes an event; called again and again
   */
  static async open(node: LabNode, provoke: () => unknown): Promise<FlowLog> {
    const log = new FlowLog(node);
    await eventually(async () => {
      await provoke();
      return log.events.length > 0;
    }, { intervalMs: 50, what: "the first flow event" });
    return log;
  }

  /** @returns the first event that satisfies a condition, once there is one. @throws {EventuallyError} */
  async find(condition: (event: FlowEvent) => boolean, what: string): Promise<FlowEvent> {
    return await eventually(() => this.events.find(condition), { what, intervalMs: 2 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #read(node: LabNode): Promise<void> {
    const agent = node.client(AgentControl, "novanet.sock");
    try {
      for await (const event of agent.streamAgentFlows({}, { signal: this.#end.signal })) {
        this.events.push(event);
      }
    } catch (error) {
      if (!(error instanceof RpcError && error.code === RpcCode.CANCELLED)) throw error;
    }
  }
}
