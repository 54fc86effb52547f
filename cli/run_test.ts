import type { MessageInitShape } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { parse } from "yaml";
import {
  EgressAction,
  type GetAgentStatusResponseSchema,
  PolicyAction,
  PolicyDirection,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import { failedPrecondition, internal, unavailable } from "../shared/rpc/errors.ts";
import { COMMIT, VERSION } from "../shared/version.ts";
import { main } from "./run.ts";
import { ctl, KEEPS_SHIM, type TestAgent, TestIo } from "./testing.ts";

const STATUS: MessageInitShape<typeof GetAgentStatusResponseSchema> = {
  routingMode: "overlay",
  tunnelProtocol: "geneve",
  endpointCount: 3,
  policyCount: 12,
  identityCount: 2,
  nodeIp: "192.0.2.10",
  podCidr: "10.244.0.0/24",
  clusterCidr: "10.244.0.0/16",
  dataplane: { connected: true, attachedPrograms: 6 },
  nodeName: "node-1",
  version: "0.1.0",
  ready: true,
  flowEvents: 1000n,
  lostFlowEvents: 5n,
  conntrackCount: 40,
  conntrackMax: 1000,
  mapUsage: [{ name: "ENDPOINTS", entries: 4n, maxEntries: 65536n }],
  dropCounters: { 1: 7n, 65: 9n },
  policySource: "manifests /etc/novanet/manifests",
  policyErrors: ["web.yaml:3 spec.ingress: no list"],
  warnings: ["FORWARD policy is DROP"],
  addressesUsed: 3,
  addressesTotal: 253,
};

const AGENT: TestAgent = {
  control: {
    getAgentStatus: () => STATUS,
    listPolicies: () => ({
      rules: [
        {
          srcIdentity: 300,
          dstIdentity: 301,
          protocol: 6,
          dstPort: 8080,
          portPrefixLen: 13,
          action: PolicyAction.ALLOW,
          direction: PolicyDirection.INGRESS,
          ruleId: 17,
          rule: "shop/web:ingress[0]",
        },
        {
          dstIdentity: 301,
          direction: PolicyDirection.INGRESS,
          isolation: true,
          ruleId: 18,
          rule: "shop/web:ingress[default-deny]",
        },
      ],
    }),
    listIdentities: () => ({
      identities: [
        { identityId: 301, refCount: 1, labels: { "novanet.io/namespace": "shop", app: "web" } },
        { identityId: 300, refCount: 2, labels: { app: "client" } },
      ],
    }),
    listTunnels: () => ({
      tunnels: [{
        nodeName: "node-2",
        nodeIp: "192.0.2.11",
        podCidr: "10.244.1.0/24",
        interfaceName: "nv_geneve",
        ifindex: 7,
        protocol: "geneve",
      }],
    }),
    listEgressPolicies: () => ({
      rules: [{
        namespace: "shop",
        name: "out",
        srcIdentity: 300,
        dstCidr: "192.0.2.0/24",
        protocol: 6,
        dstPort: 443,
        action: EgressAction.SNAT,
      }],
    }),
  },
  ext: {
    listPods: () => ({
      pods: [
        pod("shop", "web-0", "10.244.0.6"),
        pod("kube-system", "dns-0", "10.244.0.7"),
      ],
    }),
  },
};

function pod(namespace: string, name: string, ip: string) {
  return {
    namespace,
    name,
    ip,
    containerId: `${name}-id`,
    ifName: "eth0",
    mac: "02:fe:0a:f4:00:06",
    gateway: "10.244.0.1",
    hostIfName: `nv${name}`,
    ifindex: 12,
    identityId: 301,
    netns: `/run/netns/${name}`,
    labels: { app: "web" },
    state: "ready",
  };
}

const TABLES: readonly { args: string; rows: string[] }[] = [
  {
    args: "policy",
    rows: [
      "SRC_IDENTITY DST_IDENTITY PROTOCOL PORT ACTION DIRECTION RULE",
      "300 301 TCP 8080-8087 ALLOW INGRESS shop/web:ingress[0]",
      "* 301 * * DENY INGRESS shop/web:ingress[default-deny]",
    ],
  },
  {
    args: "policy -o wide --no-headers",
    rows: [
      "300 301 TCP 8080-8087 ALLOW INGRESS shop/web:ingress[0] 17 no app=client app=web,novanet.io/namespace=shop",
      "* 301 * * DENY INGRESS shop/web:ingress[default-deny] 18 yes - app=web,novanet.io/namespace=shop",
    ],
  },
  {
    args: "identity",
    rows: ["ID POD_COUNT LABELS", "300 2 app=client", "301 1 app=web,novanet.io/namespace=shop"],
  },
  {
    args: "tunnels",
    rows: [
      "NODE NODE_IP POD_CIDR INTERFACE IFINDEX PROTOCOL",
      "node-2 192.0.2.11 10.244.1.0/24 nv_geneve 7 geneve",
    ],
  },
  {
    args: "egress",
    rows: [
      "NAMESPACE NAME SRC_IDENTITY DST_CIDR PROTOCOL PORT ACTION",
      "shop out 300 192.0.2.0/24 TCP 443 SNAT",
    ],
  },
  {
    args: "pods -n shop",
    rows: [
      "NAMESPACE NAME IP IDENTITY STATE HOST_INTERFACE",
      "shop web-0 10.244.0.6 301 ready nvweb-0",
    ],
  },
  {
    args: "pods --no-headers",
    rows: [
      "shop web-0 10.244.0.6 301 ready nvweb-0",
      "kube-system dns-0 10.244.0.7 301 ready nvdns-0",
    ],
  },
];

for (const { args, rows } of TABLES) {
  Deno.test(`novanetctl ${args}`, KEEPS_SHIM, async () => {
    const { stdout, stderr, exitCode } = await ctl(AGENT, args.split(" "));
    assert.deepEqual(stdout.trimEnd().split("\n"), rows.map((row) => row.replaceAll(" ", "\t")));
    assert.deepEqual([stderr, exitCode], ["", 0]);
  });
}

Deno.test("status shows everything that a person needs", KEEPS_SHIM, async () => {
  const { stdout } = await ctl(AGENT, ["status", "-o", "wide"]);
  assert.deepEqual(stdout.trimEnd().split("\n").map((line) => line.split("\t")), [
    ["Node", "node-1 192.0.2.10"],
    ["Agent", "0.1.0"],
    ["Ready", "yes"],
    ["Dataplane", "connected, 6 programs attached"],
    ["Routing mode", "overlay"],
    ["Tunnel protocol", "geneve"],
    ["Pod CIDR", "10.244.0.0/24"],
    ["Cluster CIDR", "10.244.0.0/16"],
    ["Addresses", "3 of 253 (1.2 %)"],
    ["Endpoints", "3"],
    ["Policies", "12"],
    ["Policy source", "manifests /etc/novanet/manifests"],
    ["Identities", "2"],
    ["Tunnels", "0"],
    ["Connections", "40 of 1000 (4.0 %)"],
    ["Flow events", "1000, 5 lost"],
    ["Dropped packets", "9 IPV6, 7 POLICY_DENIED"],
    ["Pending deletes", "0"],
    ["Policy error", "web.yaml:3 spec.ingress: no list"],
    ["Warning", "FORWARD policy is DROP"],
    ["Map ENDPOINTS", "4 of 65536 (0.0 %)"],
  ]);
});

Deno.test("status as JSON has the names of the proto and no zeros", KEEPS_SHIM, async () => {
  const { stdout } = await ctl(AGENT, ["status", "-o", "json"]);
  assert.ok(stdout.startsWith('{\n  "routing_mode": "overlay",\n'), stdout);
  const json = JSON.parse(stdout);
  assert.deepEqual(json.dataplane, { connected: true, attached_programs: 6 });
  assert.deepEqual(json.drop_counters, { 1: 7, 65: 9 });
  assert.deepEqual(json.map_usage, [{ name: "ENDPOINTS", entries: 4, max_entries: 65536 }]);
  assert.equal("tunnel_count" in json, false);
  assert.equal("novaroute_connected" in json, false);
});

Deno.test("metrics are keys and values", KEEPS_SHIM, async () => {
  const { stdout } = await ctl(AGENT, ["metrics"]);
  const values = Object.fromEntries(stdout.trimEnd().split("\n").map((line) => line.split("\t")));
  assert.equal(values["endpoints"], "3");
  assert.equal(values["drops.POLICY_DENIED"], "7");
  assert.equal(values["map.ENDPOINTS.max_entries"], "65536");
  const json = JSON.parse((await ctl(AGENT, ["metrics", "-o", "json"])).stdout);
  assert.equal(json["lost_flow_events"], 5);
});

for (const command of ["policy", "identity", "pods", "tunnels", "egress", "status", "metrics"]) {
  Deno.test(`${command} is the same in JSON and YAML`, KEEPS_SHIM, async () => {
    const json = JSON.parse((await ctl(AGENT, [command, "-o", "json"])).stdout);
    assert.deepEqual(parse((await ctl(AGENT, [command, "-o", "yaml"])).stdout), json);
  });
}

Deno.test("lists in JSON have the names of the proto", KEEPS_SHIM, async () => {
  const [rule] = JSON.parse((await ctl(AGENT, ["policy", "-o", "json"])).stdout);
  assert.deepEqual(rule, {
    src_identity: 300,
    dst_identity: 301,
    protocol: 6,
    dst_port: 8080,
    action: "ALLOW",
    direction: "INGRESS",
    port_prefix_len: 13,
    isolation: false,
    rule_id: 17,
    rule: "shop/web:ingress[0]",
  });
});

Deno.test("an empty list says so on a terminal only", KEEPS_SHIM, async () => {
  const agent = { control: { listTunnels: () => ({}) } };
  const terminal = await ctl(agent, ["tunnels", "--no-color"], new TestIo(100));
  assert.equal(terminal.stdout, "NODE  NODE_IP  POD_CIDR  INTERFACE  IFINDEX  PROTOCOL\n");
  assert.equal(terminal.stderr, "No tunnels: no other node is known.\n");
  assert.equal((await ctl(agent, ["tunnels"])).stderr, "");
});

Deno.test("--watch looks again until Ctrl-C, over an agent that is away", KEEPS_SHIM, async () => {
  const io = new TestIo();
  let looks = 0;
  const agent: TestAgent = {
    control: {
      getAgentStatus: () => {
        if (++looks === 2) throw unavailable("the dataplane is away");
        if (looks === 4) io.interruption.abort();
        return STATUS;
      },
    },
  };
  const { stdout, stderr, exitCode } = await ctl(agent, ["status", "--watch", "-o", "json"], io);
  assert.equal(stdout.trimEnd().split("\n").length, 3);
  assert.equal(stderr, "Note: novanet-agent: the dataplane is away\n");
  assert.deepEqual([exitCode, io.sleeps], [0, 4]);
});

Deno.test("a missing agent is one clear line and exit code 3", async () => {
  for (const command of ["status", "flows", "policy", "pods"]) {
    const io = new TestIo();
    const exitCode = await main([command, "--agent-socket", "/nonexistent/novanet.sock"], io);
    assert.equal(exitCode, 3);
    assert.equal(
      io.stderr.text(),
      "Error: novanet-agent does not listen on /nonexistent/novanet.sock: start it, or say where it is " +
        "with --agent-socket\n",
    );
  }
});

const FAULTS = [
  { fault: unavailable("not connected"), exitCode: 3 },
  { fault: internal("no such table\nsecond line"), exitCode: 1 },
  { fault: failedPrecondition("overlay mode"), exitCode: 1 },
] as const;

for (const { fault, exitCode } of FAULTS) {
  Deno.test(
    `the agent's «${fault.message.split("\n")[0]}» exits with ${exitCode}`,
    KEEPS_SHIM,
    async () => {
      const agent: TestAgent = {
        control: {
          getAgentStatus: () => {
            throw fault;
          },
        },
      };
      const output = await ctl(agent, ["status"]);
      assert.equal(output.exitCode, exitCode);
      assert.match(output.stderr, /^Error: novanet-agent: .+\n$/);
      assert.ok(output.stderr.includes(fault.message.replaceAll("\n", " ")));
    },
  );
}

Deno.test("a stdout that is gone ends any command quietly", KEEPS_SHIM, async () => {
  const io = new TestIo();
  io.stdout.onWrite = () => {
    throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  };
  const { exitCode, stderr } = await ctl(AGENT, ["policy"], io);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  assert.equal(await main(["--help"], io), 0);
});

for (const args of ["version", "--agent-socket /nonexistent version", "version -o wide"]) {
  Deno.test(`${args}: one line`, async () => {
    const io = new TestIo();
    assert.equal(await main(args.split(" "), io), 0);
    assert.match(io.stdout.text(), /^novanetctl \d+\.\d+\.\d+ \(commit \S+, deno \S+\)\n$/);
    assert.equal(io.stderr.text(), "");
  });
}

Deno.test("version as JSON and YAML", async () => {
  for (const format of ["json", "yaml"]) {
    const io = new TestIo();
    assert.equal(await main(["version", "-o", format], io), 0);
    assert.deepEqual(parse(io.stdout.text()), {
      version: VERSION,
      commit: COMMIT,
      deno: Deno.version.deno,
    });
  }
});
