import assert from "node:assert/strict";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type AgentExtTracePacketRequest,
  type AgentExtTracePacketResponseSchema,
  TraceDelivery,
  TraceStage,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import {
  DropReason,
  PolicyAction,
  PolicyDirection,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ctl, KEEPS_SHIM, TestIo } from "../testing.ts";

const RULE = "shop/web:ingress[default-deny]";
const DENIED = {
  verdict: PolicyAction.DENY,
  dropReason: DropReason.POLICY_DENIED,
  ruleId: 17,
  rule: RULE,
  ruleDirection: PolicyDirection.INGRESS,
  delivery: TraceDelivery.DROPPED,
};

const ANSWER: MessageInitShape<typeof AgentExtTracePacketResponseSchema> = {
  from: { ip: "198.51.100.7", kind: "outside", identityId: 2 },
  to: {
    ip: "10.244.0.10",
    kind: "pod",
    namespace: "shop",
    pod: "web",
    identityId: 300,
    labels: { app: "web" },
  },
  trace: {
    steps: [
      {
        stage: TraceStage.CONNTRACK,
        text: "the packet opens a connection",
        map: "CONNTRACK",
        key: "TCP 10.244.0.10:80 198.51.100.7:0",
      },
      {
        stage: TraceStage.INGRESS,
        text: "the receiver's ingress is denied",
        map: "POLICIES",
        key: "isolation ingress src=any dst=300",
        value: "action=DENY rule_id=17",
        dropReason: DropReason.POLICY_DENIED,
        decided: true,
        action: PolicyAction.DENY,
        ruleId: 17,
        rule: RULE,
        lookups: 3,
        sources: [{ namespace: "shop", name: "web", file: "web.yaml", line: 4 }],
      },
    ],
    verdict: DENIED,
    connections: [{ srcPort: 40000, state: "established", generation: 4, verdict: DENIED }],
    connectionCount: 1,
    policyGeneration: 5,
    evaluationGeneration: 6,
  },
};

const OPTIONS = ["trace", "--from", "198.51.100.7", "--to", "shop/web", "--port", "80"];

async function trace(args: readonly string[] = [], io = new TestIo()) {
  const requests: AgentExtTracePacketRequest[] = [];
  const tracePacket = (request: AgentExtTracePacketRequest) => {
    requests.push(request);
    return ANSWER;
  };
  const result = await ctl({ ext: { tracePacket } }, [...OPTIONS, ...args], io);
  return { ...result, requests };
}

Deno.test(
  "trace for people: the ends, the steps with entry and rule, the verdict last",
  KEEPS_SHIM,
  async () => {
    const { exitCode, stdout, requests } = await trace();
    assert.equal(exitCode, 0);
    assert.deepEqual(
      requests.map(({ from, to, protocol, srcPort, dstPort }) => [
        from,
        to,
        protocol,
        srcPort,
        dstPort,
      ]),
      [["198.51.100.7", "shop/web", 6, 0, 80]],
    );
    assert.equal(
      stdout,
      `From    outside 198.51.100.7, identity 2
To      pod shop/web 10.244.0.10, identity 300 (app=web)
Packet  TCP to port 80

 1  CONNTRACK  the packet opens a connection
               CONNTRACK[TCP 10.244.0.10:80 198.51.100.7:0]: no entry
 2  INGRESS    the receiver's ingress is denied
               POLICIES[isolation ingress src=any dst=300]: action=DENY rule_id=17
               rule ${RULE}, web.yaml:4
               drops: POLICY_DENIED

Living connections between the same ends: 1
               from 40000: established, decided under generation 4, judged again; its next packet: DENY POLICY_DENIED by ${RULE}

DENY POLICY_DENIED by ${RULE}
`,
    );
  },
);

Deno.test(
  "trace for programs: --json is -o json, with the verdict on the outside",
  KEEPS_SHIM,
  async () => {
    const { stdout } = await trace(["--json"]);
    assert.equal(stdout, (await trace(["-o", "json"])).stdout);
    const told = JSON.parse(stdout);
    assert.deepEqual(
      [told.verdict, told.drop_reason, told.rule, told.rule_direction, told.delivery],
      ["DENY", "POLICY_DENIED", RULE, "INGRESS", "DROPPED"],
    );
    assert.deepEqual([told.from.ip, told.to.pod, told.port], ["198.51.100.7", "web", 80]);
    assert.deepEqual(told.steps[1].sources, [
      { namespace: "shop", name: "web", file: "web.yaml", line: 4 },
    ]);
    assert.equal(told.steps[1].stage, "INGRESS");
    assert.deepEqual([told.connections[0].src_port, told.connections[0].verdict], [40000, "DENY"]);
  },
);

Deno.test("a terminal has the verdict in color", KEEPS_SHIM, async () => {
  const { stdout } = await trace([], new TestIo(120));
  assert(stdout.endsWith(`\n\x1b[31mDENY POLICY_DENIED by ${RULE}\x1b[0m\n`));
});

const WRONG = [
  { args: ["--protocol", "icmp"], says: "--port 80: ICMP has no ports" },
  { args: ["--protocol", "47"], says: "--port 80: GRE has no ports" },
] as const;

for (const { args, says } of WRONG) {
  Deno.test(`wrong: trace ${args.join(" ")}`, KEEPS_SHIM, async () => {
    const { exitCode, stderr, requests } = await trace(args);
    assert.deepEqual([exitCode, stderr, requests.length], [2, `Error: ${says}\n`, 0]);
  });
}

Deno.test("wrong: trace without the port that the protocol needs", KEEPS_SHIM, async () => {
  const args = ["trace", "--from", "web", "--to", "api", "--protocol", "udp"];
  const { exitCode, stderr } = await ctl({}, args);
  assert.deepEqual([exitCode, stderr], [2, "Error: --port: UDP needs one, from 1 to 65535\n"]);
});
