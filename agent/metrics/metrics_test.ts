import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DropReason,
  FlowEventSchema,
  FlowEventType,
  GetDataplaneStatusResponseSchema,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { MAX_FLOW_PAIRS, METRICS, metricsTable } from "./catalogue.ts";
import { AgentMetrics, type MetricSnapshot } from "./metrics.ts";

const SNAPSHOT: MetricSnapshot = {
  version: "1.2.3",
  endpoints: 3,
  policies: 4,
  identities: 2,
  addresses: { used: 3, total: 253 },
  pendingDeletes: 1,
  flowSubscribers: 0,
  closedIdentities: 0,
  policyErrors: 0,
  warnings: 2,
  flowEvents: 9n,
  lostInAgent: 5n,
  dataplane: create(GetDataplaneStatusResponseSchema, {
    dropCounters: { [DropReason.POLICY_DENIED]: 12n, 999: 1n },
    lostFlowEvents: 7n,
    lostSubscriberEvents: 6n,
    conntrackCount: 11,
    conntrackMax: 1000,
    mapUsage: [{ name: "POLICIES", entries: 4n, maxEntries: 65536n }],
  }),
};

function flow(init: MessageInitShape<typeof FlowEventSchema>) {
  return create(FlowEventSchema, { protocol: 6, ...init });
}

Deno.test("every metric of the catalogue is rendered, with its values", async () => {
  const metrics = new AgentMetrics();
  metrics.onFlow(flow({ eventType: FlowEventType.NEW, verdict: PolicyAction.ALLOW, tcpFlags: 2 }));
  metrics.onFlow(flow({ eventType: FlowEventType.UPDATE, isReply: true, tcpFlags: 0x12 }));
  metrics.onFlow(flow({ eventType: FlowEventType.NEW, verdict: PolicyAction.AUDIT }));
  metrics.onFlow(
    flow({ eventType: FlowEventType.DROP, verdict: PolicyAction.DENY, srcIdentity: 9 }),
  );
  metrics.onRpc("AddPod", "OK", 0.004);
  metrics.onRpc("DelPod", "INTERNAL", 0.004);
  metrics.onRpc("StreamAgentFlows", "OK", 3600);
  metrics.onCaptureLoss(3);
  await metrics.render(SNAPSHOT);
  const text = await metrics.render(SNAPSHOT);
  for (const name of Object.keys(METRICS)) assert.match(text, new RegExp(`^# TYPE ${name} `, "m"));
  assert.doesNotMatch(text, /StreamAgentFlows/);
  const lines = [
    'novanet_drops_total{reason="POLICY_DENIED"} 12',
    'novanet_drops_total{reason="999"} 1',
    'novanet_flow_total{src_identity="0",dst_identity="0",verdict="ALLOW"} 1',
    'novanet_flow_total{src_identity="0",dst_identity="0",verdict="AUDIT"} 1',
    'novanet_flow_total{src_identity="9",dst_identity="0",verdict="DENY"} 1',
    'novanet_policy_verdict_total{action="AUDIT"} 1',
    'novanet_dataplane_tcp_connection_total{flag="syn"} 2',
    'novanet_map_entries{map="POLICIES"} 4',
    'novanet_map_max_entries{map="POLICIES"} 65536',
    'novanet_flow_events_lost_total{stage="dataplane"} 7',
    'novanet_flow_events_lost_total{stage="agent"} 5',
    'novanet_flow_events_lost_total{stage="stream"} 6',
    'novanet_agent_addresses{state="free"} 250',
    'novanet_agent_info{version="1.2.3"} 1',
    'novanet_cni_add_duration_seconds_count{result="ok"} 1',
    'novanet_cni_del_duration_seconds_count{result="error"} 1',
    'novanet_rpc_duration_seconds_count{method="AddPod",code="OK"} 1',
    "novanet_capture_lost_packets_total 3",
    "novanet_conntrack_entries 11",
    "novanet_agent_dataplane_connected 1",
  ];
  for (const line of lines) assert.ok(text.split("\n").includes(line), line);
});

Deno.test("identity pairs are bounded", async () => {
  const metrics = new AgentMetrics();
  for (let id = 0; id < MAX_FLOW_PAIRS + 50; id++) {
    metrics.onFlow(flow({ srcIdentity: id, eventType: FlowEventType.NEW, verdict: 1 }));
  }
  const text = await metrics.render({ ...SNAPSHOT, dataplane: undefined });
  assert.equal(text.match(/^novanet_flow_total\{/gm)?.length, MAX_FLOW_PAIRS + 1);
  assert.match(text, /src_identity="other",dst_identity="other",verdict="ALLOW"\} 50$/m);
});

Deno.test("the TCP latency is the time to the first answer", async () => {
  const metrics = new AgentMetrics();
  const ends = { srcIp: 1, dstIp: 2, srcPort: 40000, dstPort: 80 };
  const back = { srcIp: 2, dstIp: 1, srcPort: 80, dstPort: 40000, isReply: true };
  metrics.onFlow(flow({ ...ends, eventType: FlowEventType.NEW, timestampNs: 1_000_000_000n }));
  metrics.onFlow(flow({ ...back, eventType: FlowEventType.UPDATE, timestampNs: 1_002_000_000n }));
  metrics.onFlow(flow({ ...back, eventType: FlowEventType.UPDATE, timestampNs: 9_000_000_000n }));
  // The port is another, and of these the end comes first.
  metrics.onFlow(flow({ ...back, dstPort: 40001, timestampNs: 9_000_000_000n }));
  metrics.onFlow(flow({ ...ends, srcPort: 5, eventType: FlowEventType.NEW, timestampNs: 1n }));
  metrics.onFlow(flow({ ...ends, srcPort: 5, eventType: FlowEventType.END, timestampNs: 2n }));
  metrics.onFlow(flow({ ...back, dstPort: 5, timestampNs: 3n }));
  const text = await metrics.render(SNAPSHOT);
  assert.match(text, /^novanet_dataplane_tcp_latency_seconds_sum 0\.002$/m);
  assert.match(text, /^novanet_dataplane_tcp_latency_seconds_count 1$/m);
});

Deno.test("docs/metrics.md has the catalogue's table", () => {
  const docs = Deno.readTextFileSync(new URL("../../docs/metrics.md", import.meta.url));
  assert.ok(docs.includes(metricsTable()), "write metricsTable() into docs/metrics.md");
});
