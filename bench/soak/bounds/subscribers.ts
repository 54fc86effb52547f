/**
 * A process of flow subscribers:
 *
 *     subscribers.ts AGENT_SOCKET DATAPLANE_SOCKET FILTER...
 *
 * FILTER is `agent` or `dataplane`, an identity or 0, and `all` or `drops`, with colons between: agent:0:all. Every half second
 * it prints a line: for each subscriber the events that came and those that it was told it lost.
 */
import { FlowReader } from "../../../shared/flows/flow_reader.ts";
import { AgentControl, DataplaneControl } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../../shared/rpc/client.ts";

/** What a subscriber has seen: events, and events that it lost. */
export type Seen = [events: number, lost: number];

const PRINT_MS = 500;

function streamOf(text: string, agent: string, dataplane: string): AsyncIterable<Uint8Array[]> {
  const [daemon, identity, drops] = text.split(":");
  const request = { identityFilter: Number(identity), dropsOnly: drops === "drops" };
  if (daemon === "agent") {
    return createRpcClient(AgentControl, { socketPath: agent })
      .batches(AgentControl.method.streamAgentFlows, request);
  }
  return createRpcClient(DataplaneControl, { socketPath: dataplane })
    .batches(DataplaneControl.method.streamFlows, request);
}

async function count(stream: AsyncIterable<Uint8Array[]>, seen: Seen): Promise<void> {
  const reader = new FlowReader();
  for await (const messages of stream) {
    for (const message of messages) seen[1] += Number(reader.read(message).lostEvents);
    seen[0] += messages.length;
  }
}

if (import.meta.main) {
  const [agent = "", dataplane = "", ...filters] = Deno.args;
  const all: Seen[] = filters.map(() => [0, 0]);
  setInterval(() => console.log(JSON.stringify(all)), PRINT_MS);
  await Promise.all(
    filters.map((filter, index) => count(streamOf(filter, agent, dataplane), all[index] ?? [0, 0])),
  );
  throw new Error("the streams have ended");
}
