import { AgentControl, type FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode } from "../../shared/testing/node.ts";

const RETRY_MS = 20;

/** All flow events of a node from the moment it is opened, but those of while the agent was away. */
export class FlowLog implements AsyncDisposable {
  readonly events: FlowEvent[] = [];
  readonly #node: LabNode;
  readonly #provoke: () => unknown;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;

  private constructor(node: LabNode, provoke: () => unknown) {
    this.#node = node;
    this.#provoke = provoke;
    this.#done = this.#read();
  }

  /**
   * Subscribes at the agent, and waits until events come.
   * @param provoke causes an event; called again and again
   */
  static async open(node: LabNode, provoke: () => unknown): Promise<FlowLog> {
    const log = new FlowLog(node, provoke);
    await log.flowing();
    return log;
  }

  /** Waits until events come: after a restart of the agent, for example. */
  async flowing(): Promise<void> {
    const before = this.events.length;
    await eventually(async () => {
      await this.#provoke();
      return this.events.length > before;
    }, { intervalMs: 50, what: "a flow event" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #read(): Promise<void> {
    const { signal } = this.#end;
    const agent = this.#node.client(AgentControl, "novanet.sock");
    while (!signal.aborted) {
      try {
        for await (const event of agent.streamAgentFlows({}, { signal })) this.events.push(event);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        if (error.code !== RpcCode.CANCELLED && error.code !== RpcCode.UNAVAILABLE) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
