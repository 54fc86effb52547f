import assert from "node:assert/strict";
import { HISTORY_BOUNDS } from "../../../agent/flows/flow_history.ts";
import { MAX_FLOW_PAIRS } from "../../../agent/metrics/catalogue.ts";
import { SLOTS } from "../../../agent/metrics/handshake_timer.ts";
import { defaultSizes } from "../../../dataplane/sizes.ts";
import {
  MOST_BYTES,
  MOST_BYTES_OF_A_FILTER,
  MOST_SUBSCRIBERS,
} from "../../../shared/flows/fan_out.ts";
import { WINDOW_BYTES } from "../../../shared/rpc/http2/stream.ts";
import { SERVER_LIMITS } from "../../../shared/rpc/server.ts";
import { filtersFor } from "./readers.ts";
import { LIMITS, LOAD } from "./limits.ts";

const PAGE = Deno.readTextFileSync(new URL("../../../docs/limits.md", import.meta.url));
const DATAPATH = Deno.readTextFileSync(new URL("../../../bpf/lib/maps.h", import.meta.url));

const count = (value: number) => value.toLocaleString("en-US");
const mib = (bytes: number) => `${bytes / 2 ** 20} MiB`;
const ringOf = (gib: number) => defaultSizes(gib * 2 ** 30).flowRingBytes / 2 ** 20;
const dropFlows = Number(/max_entries, (\d+)\);[^}]*} DROP_FLOWS/.exec(DATAPATH)?.[1]);

/** Beginnings of rows: what it is, and how much. */
const ROWS = [
  `Streams of flows of one daemon (StreamFlows, StreamAgentFlows) | ${MOST_SUBSCRIBERS} |`,
  `Events that wait for the readers of one filter | ${mib(MOST_BYTES_OF_A_FILTER)}, `,
  `Events that wait for all readers of one daemon | ${mib(MOST_BYTES)} |`,
  `Events that wait for the dataplane in the kernel | the flow ring, ${ringOf(1)} to ${
    ringOf(64)
  } MiB`,
  `Dropped flows that are told apart, in the kernel | ${count(dropFlows)} |`,
  `Connections to one socket of a daemon | ${SERVER_LIMITS.maxConnections} |`,
  `Calls at once on one connection | ${SERVER_LIMITS.maxCallsPerConnection} |`,
  `A gRPC message | ${mib(SERVER_LIMITS.maxMessageBytes)} |`,
  `What a slow gRPC client may leave unread | its own HTTP/2 window, at most ${mib(WINDOW_BYTES)} `,
  `Pairs of identities in \`novanet_flow_total\` | ${count(MAX_FLOW_PAIRS)} |`,
  `TCP connections whose answer is awaited for the latency histogram | ${count(SLOTS)} |`,
  `Flows that the agent remembers for \`policy suggest\` | ${
    count(HISTORY_BOUNDS.flows)
  }, of one pod ${count(HISTORY_BOUNDS.flowsOfPod)} |`,
  `Label sets of the pods in them | ${count(HISTORY_BOUNDS.labelSets)} |`,
  `pods | ${count(LOAD.pods)}, `,
  `policies | ${count(LOAD.policies)}, which make ${count(LOAD.entries)} policy entries |`,
  `flow subscribers | ${LOAD.subscribers}, of which ${LOAD.stopped} are stopped`,
  `new flows | ${count(LOAD.flowsPerSecond)} a second `,
  `denied packets | ${count(LOAD.deniedPerSecond)} a second `,
  `memory of novanet-dataplane, at any time | ${LIMITS.dataplaneMb} MB |`,
  `memory of novanet-agent, at any time | ${LIMITS.agentMb} MB |`,
  `growth of either, within the last two thirds of the time, from their first third to their last (ten minutes only) | ${LIMITS.growthPercent} % |`,
  `more descriptors of either, over the same time | ${LIMITS.descriptors} |`,
  `answer to GetDataplaneStatus and GetAgentStatus, half of them | ${
    count(LIMITS.rpcMedianMs)
  } ms |`,
  `answer to GetDataplaneStatus and GetAgentStatus, 99 of 100 (ten minutes only) | ${
    count(LIMITS.rpcP99Ms)
  } ms |`,
  `one byte there and back between two pods (TCP), 99 of 100, median of samples of one second | ${
    count(LIMITS.packetP99Us)
  } µs |`,
];

for (const row of ROWS) {
  Deno.test(`docs/limits.md: ${row}`, () => {
    assert(PAGE.includes(`\n| ${row}`), `there is no row that begins: | ${row}`);
  });
}

Deno.test("subscribers: so many, half of them of each daemon, most with an identity of their own", () => {
  const filters = filtersFor(198, [300, 301, 302]);
  assert.equal(filters.length, 198);
  assert.equal(filters.filter((filter) => filter.startsWith("agent:")).length, 99);
  assert.equal(filters.filter((filter) => filter.includes(":0:")).length, 8);
  assert(filters.includes("agent:302:all") && filters.includes("dataplane:300:all"));
});
