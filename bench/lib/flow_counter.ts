import { FlowReader } from "../../shared/flows/flow_reader.ts";
import { AgentControl, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";

/** Where flows are streamed from. */
export type FlowSource = "dataplane" | "agent";

/** A subscriber that reads as fast as it can, and counts. */
export class FlowCounter implements AsyncDisposable {
  /** Events that came. */
  events = 0;
  /** Events that it was told it lost. */
  lost = 0;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  /** @param socketPath of the daemon that streams */
  constructor(source: FlowSource, socketPath: string) {
    this.#done = this.#read(source, socketPath);
  }

  /** Ends the stream. @throws {RpcError} what broke it before */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #read(source: FlowSource, socketPath: string): Promise<void> {
    using dataplane = createRpcClient(DataplaneControl, { socketPath });
    using agent = createRpcClient(AgentControl, { socketPath });
    const options = { signal: this.#stop.signal };
    const stream = source === "dataplane"
      ? dataplane.batches(DataplaneControl.method.streamFlows, {}, options)
      : agent.batches(AgentControl.method.streamAgentFlows, {}, options);
    const reader = new FlowReader();
    try {
      for await (const messages of stream) {
        for (const message of messages) this.lost += Number(reader.read(message).lostEvents);
        this.events += messages.length;
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }
}
