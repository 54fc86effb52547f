import assert from "node:assert/strict";
import { SeededRandom } from "../shared/testing/seeded_random.ts";
import { RpcError } from "../shared/rpc/errors.ts";
import { COMMANDS } from "./environment.ts";
import { CniCode } from "./errors.ts";
import type { JsonObject } from "./json.ts";
import { call, conf, ENV, FakeAgent, type TestEnv } from "./testing.ts";
import { SUPPORTED_VERSIONS } from "./versions.ts";

const ATTACHMENT = {
  podName: "c0ffee0123456789",
  podNamespace: "default",
  containerId: "c0ffee0123456789",
  netns: "/run/netns/blue",
  ifName: "eth0",
};

const IP = { address: "10.244.0.5/24", gateway: "10.244.0.1", interface: 0 };
const ROUTES = [{ dst: "0.0.0.0/0", gw: "10.244.0.1" }];

function interfaces(mtu: JsonObject): JsonObject[] {
  return [
    { name: "eth0", mac: "02:fe:0a:f4:00:05", ...mtu, sandbox: "/run/netns/blue" },
    { name: "nvabcdefghijk", mac: "02:fe:0a:f4:00:01", ...mtu },
  ];
}

/** The whole result of a first plugin, by version. */
const RESULTS: Readonly<Record<string, JsonObject>> = {
  "0.3.0": {
    cniVersion: "0.3.0",
    interfaces: interfaces({}),
    ips: [{ version: "4", ...IP }],
    routes: ROUTES,
  },
  "0.3.1": {
    cniVersion: "0.3.1",
    interfaces: interfaces({}),
    ips: [{ version: "4", ...IP }],
    routes: ROUTES,
  },
  "0.4.0": {
    cniVersion: "0.4.0",
    interfaces: interfaces({}),
    ips: [{ version: "4", ...IP }],
    routes: ROUTES,
  },
  "1.0.0": { cniVersion: "1.0.0", interfaces: interfaces({}), ips: [IP], routes: ROUTES },
  "1.1.0": {
    cniVersion: "1.1.0",
    interfaces: interfaces({ mtu: 1450 }),
    ips: [IP],
    routes: ROUTES,
  },
};

/** Oldest version of each operation. */
const SINCE = { ADD: 0, DEL: 0, VERSION: 0, CHECK: 2, STATUS: 4, GC: 4 } as const;

for (const [age, version] of SUPPORTED_VERSIONS.entries()) {
  for (const command of COMMANDS) {
    const exists = age >= SINCE[command];
    Deno.test(`${version} ${command} ${exists ? "works" : "is refused with code 1"}`, async () => {
      const stdin = conf(version, {
        ...(command === "CHECK" ? { prevResult: RESULTS[version] as JsonObject } : {}),
        ...(command === "GC" ? { "cni.dev/valid-attachments": [] } : {}),
      });
      const output = await call({ CNI_COMMAND: command }, stdin);
      assert.equal(output.exitCode, exists ? 0 : 1);
      if (!exists) {
        const error = JSON.parse(output.stdout);
        assert.equal(error.code, CniCode.INCOMPATIBLE_VERSION);
        assert.equal(error.cniVersion, version);
      } else if (command === "ADD") {
        assert.deepEqual(JSON.parse(output.stdout), RESULTS[version]);
      } else if (command === "VERSION") {
        const supportedVersions = [...SUPPORTED_VERSIONS];
        assert.deepEqual(JSON.parse(output.stdout), { cniVersion: version, supportedVersions });
      } else {
        assert.equal(output.stdout, "");
      }
      assert.equal(output.stderr, "");
    });
  }
}

const RPC_CASES: readonly {
  name: string;
  env: TestEnv;
  more?: JsonObject;
  expected: [string, unknown];
}[] = [
  {
    name: "ADD without Kubernetes names the pod after the container",
    env: { CNI_CONTAINERID: "Ctr_Abc.Def0123-" },
    expected: ["addPod", {
      ...ATTACHMENT,
      containerId: "Ctr_Abc.Def0123-",
      podName: "ctr-abc.def0123",
      labels: {},
      requestedIps: [],
      quickAttach: false,
    }],
  },
  {
    name: "ADD by kubelet",
    env: {
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;" +
        "K8S_POD_INFRA_CONTAINER_ID=c0ffee;K8S_POD_UID=1-2;Other=x",
    },
    expected: ["addPod", {
      ...ATTACHMENT,
      podName: "web-0",
      podNamespace: "shop",
      labels: {},
      requestedIps: [],
      quickAttach: false,
    }],
  },
  {
    name: "ADD in the node's namespace for a runtime that means it",
    env: { CNI_NETNS: "/host", CNI_NETNS_OVERRIDE: "true" },
    expected: ["addPod", {
      ...ATTACHMENT,
      netns: "/host",
      labels: {},
      requestedIps: [],
      quickAttach: false,
    }],
  },
  {
    name: "ADD asks for the address of CNI_ARGS",
    env: { CNI_ARGS: "IP=10.244.0.9" },
    expected: ["addPod", {
      ...ATTACHMENT,
      labels: {},
      requestedIps: ["10.244.0.9"],
      quickAttach: false,
    }],
  },
  {
    name: "ADD asks for the addresses of the capability, each once",
    env: { CNI_ARGS: "IP=10.244.0.9" },
    more: { runtimeConfig: { ips: ["10.244.0.9/24", "10.244.0.10"] } },
    expected: ["addPod", {
      ...ATTACHMENT,
      labels: {},
      requestedIps: ["10.244.0.9", "10.244.0.10"],
      quickAttach: false,
    }],
  },
  {
    name: "ADD asks for the addresses of args.cni",
    env: {},
    more: {
      runtimeConfig: { ips: ["10.244.0.9/24"] },
      args: { cni: { ips: ["10.244.0.10", "10.244.0.9"] } },
    },
    expected: ["addPod", {
      ...ATTACHMENT,
      labels: {},
      requestedIps: ["10.244.0.9", "10.244.0.10"],
      quickAttach: false,
    }],
  },
  {
    name: "ADD says that nobody else needs the hooks",
    env: {},
    more: { quickAttach: true },
    expected: ["addPod", { ...ATTACHMENT, labels: {}, requestedIps: [], quickAttach: true }],
  },
  {
    name: "ADD passes labels on",
    env: {},
    more: { args: { cni: { labels: [{ key: "app", value: "web" }] }, other: 1 } },
    expected: ["addPod", {
      ...ATTACHMENT,
      labels: { app: "web" },
      requestedIps: [],
      quickAttach: false,
    }],
  },
  {
    name: "DEL takes no offence at what an ADD would refuse",
    env: { CNI_COMMAND: "DEL", CNI_NETNS: undefined, CNI_ARGS: "K8S_POD_NAME=web-0;X=1;broken" },
    more: { unknown: 1, prevResult: "nonsense", runtimeConfig: 7, ipam: { type: "host-local" } },
    expected: ["delPod", { ...ATTACHMENT, podName: "web-0", netns: "" }],
  },
  {
    name: "DEL of a container whose id was too short for ADD",
    env: { CNI_COMMAND: "DEL", CNI_CONTAINERID: "c1" },
    expected: ["delPod", { ...ATTACHMENT, podName: "c1", containerId: "c1" }],
  },
  {
    name: "CHECK by kubelet compares the pod's name",
    env: { CNI_COMMAND: "CHECK", CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0" },
    more: { prevResult: RESULTS["1.1.0"] as JsonObject },
    expected: ["checkPod", {
      ...ATTACHMENT,
      podName: "web-0",
      podNamespace: "shop",
      mac: "02:fe:0a:f4:00:05",
      ips: ["10.244.0.5/24"],
    }],
  },
  {
    name: "CHECK expects what prevResult lists for our interface",
    env: { CNI_COMMAND: "CHECK" },
    more: {
      prevResult: {
        interfaces: [
          { name: "lo", sandbox: "/run/netns/blue" },
          { name: "eth0", sandbox: "/run/netns/blue", mac: "02:fe:0a:f4:00:05" },
          { name: "eth0", sandbox: "/run/netns/red", mac: "02:fe:0a:f4:00:06" },
        ],
        ips: [
          { address: "127.0.0.1/8", interface: 0 },
          { address: "10.244.0.5/24", interface: 1 },
          { address: "fd00::5/64", interface: 1 },
        ],
      },
    },
    expected: ["checkPod", {
      ...ATTACHMENT,
      podName: "",
      podNamespace: "",
      mac: "02:fe:0a:f4:00:05",
      ips: ["10.244.0.5/24"],
    }],
  },
  {
    name: "GC passes the attachments on",
    env: { CNI_COMMAND: "GC", CNI_CONTAINERID: "dummy", CNI_IFNAME: undefined },
    more: { "cni.dev/valid-attachments": [{ containerID: "abc", ifname: "eth0" }] },
    expected: ["collectGarbage", [{ containerId: "abc", ifName: "eth0" }]],
  },
  {
    name: "GC takes the key of the first drafts",
    env: { CNI_COMMAND: "GC" },
    more: { "cni.dev/attachments": [{ containerID: "abc", ifname: "eth0" }] },
    expected: ["collectGarbage", [{ containerId: "abc", ifName: "eth0" }]],
  },
];

for (const { name, env, more, expected } of RPC_CASES) {
  Deno.test(name, async () => {
    const agent = new FakeAgent();
    const output = await call(env, conf("1.1.0", more), agent);
    assert.equal(output.exitCode, 0, output.stdout);
    assert.deepEqual(agent.calls, [expected]);
  });
}

const REFUSED: readonly {
  name: string;
  env?: TestEnv;
  stdin?: JsonObject | string;
  code: number;
  says: RegExp;
}[] = [
  { name: "no command", env: { CNI_COMMAND: undefined }, code: 4, says: /CNI_COMMAND is not set/ },
  { name: "unknown command", env: { CNI_COMMAND: "add" }, code: 4, says: /CNI_COMMAND "add"/ },
  {
    name: "no container, no interface, no namespace",
    env: { CNI_CONTAINERID: undefined, CNI_IFNAME: "", CNI_NETNS: undefined },
    code: 4,
    says: /CNI_CONTAINERID.*CNI_IFNAME.*CNI_NETNS/,
  },
  { name: "container ../x", env: { CNI_CONTAINERID: "../x" }, code: 4, says: /"\.\.\/x"/ },
  { name: "long container", env: { CNI_CONTAINERID: "a".repeat(201) }, code: 4, says: /200/ },
  {
    name: "short container",
    env: { CNI_CONTAINERID: "web-000001" },
    code: 4,
    says: /"web-000001".*11/,
  },
  { name: "interface ..", env: { CNI_IFNAME: ".." }, code: 4, says: /CNI_IFNAME "\.\."/ },
  { name: "interface a/b", env: { CNI_IFNAME: "a/b" }, code: 4, says: /"a\/b"/ },
  { name: "interface a b", env: { CNI_IFNAME: "a b" }, code: 4, says: /white space/ },
  { name: "interface a:1", env: { CNI_IFNAME: "a:1" }, code: 4, says: /':'/ },
  { name: "16 bytes", env: { CNI_IFNAME: "interfaceinterfa" }, code: 4, says: /15 bytes/ },
  { name: "16 bytes in 8", env: { CNI_IFNAME: "ääääääää" }, code: 4, says: /15 bytes/ },
  { name: "the node's namespace", env: { CNI_NETNS: "/host" }, code: 4, says: /node's own/ },
  { name: "unknown argument", env: { CNI_ARGS: "FOO=1" }, code: 4, says: /"FOO".*IgnoreUnknown/ },
  { name: "argument without =", env: { CNI_ARGS: "FOO" }, code: 4, says: /KEY=VALUE/ },
  { name: "IgnoreUnknown", env: { CNI_ARGS: "IgnoreUnknown=7" }, code: 4, says: /boolean/ },
  {
    name: "address of CNI_ARGS",
    env: { CNI_ARGS: "IP=10.0.0.256" },
    code: 4,
    says: /10\.0\.0\.256/,
  },
  { name: "empty stdin", stdin: "", code: 6, says: /empty/ },
  { name: "half a document", stdin: '{"cniVersion":', code: 6, says: /decode/ },
  { name: "a list", stdin: "[]", code: 6, says: /not a JSON object/ },
  { name: "a number", stdin: "7", code: 6, says: /not a JSON object/ },
  { name: "a hundred thousand brackets", stdin: "[".repeat(100_000), code: 6, says: /decode/ },
  { name: "no cniVersion", stdin: { name: "n" }, code: 1, says: /cniVersion is missing/ },
  { name: "cniVersion 7", stdin: { cniVersion: 7, name: "n" }, code: 6, says: /7/ },
  { name: "cniVersion one", stdin: conf("one"), code: 6, says: /"one"/ },
  { name: "cniVersion 1..0", stdin: conf("1..0"), code: 6, says: /"1\.\.0"/ },
  { name: "cniVersion v1.0.0", stdin: conf("v1.0.0"), code: 6, says: /"v1\.0\.0"/ },
  { name: "cniVersion 1.0.0.0", stdin: conf("1.0.0.0"), code: 6, says: /"1\.0\.0\.0"/ },
  { name: "cniVersion 9.9", stdin: conf("9.9"), code: 1, says: /9\.9 is not supported/ },
  { name: "cniVersion 2", stdin: conf("2"), code: 1, says: /2 is not supported/ },
  { name: "cniVersion 1.1.0-rc1", stdin: conf("1.1.0-rc1"), code: 1, says: /1\.1\.0-rc1/ },
  { name: "cniVersion 0.2.0", stdin: conf("0.2.0"), code: 1, says: /0\.2\.0/ },
  { name: "cniVersion 1.2.0", stdin: conf("1.2.0"), code: 1, says: /1\.2\.0/ },
  { name: "no name", stdin: { cniVersion: "1.0.0" }, code: 7, says: /name is missing/ },
  { name: "name a/b", stdin: conf("1.0.0", { name: "a/b" }), code: 7, says: /"a\/b"/ },
  { name: "unknown key", stdin: conf("1.0.0", { mtu: 9 }), code: 2, says: /mtu = 9/ },
  {
    name: "ipam",
    stdin: conf("1.0.0", { ipam: { type: "host-local" } }),
    code: 2,
    says: /ipam.type = "host-local"/,
  },
  { name: "agentSocket", stdin: conf("1.0.0", { agentSocket: 1 }), code: 7, says: /agentSocket 1/ },
  { name: "spoolDir", stdin: conf("1.0.0", { spoolDir: "" }), code: 7, says: /spoolDir ""/ },
  {
    name: "prevResult",
    stdin: conf("1.0.0", { prevResult: [] }),
    code: 7,
    says: /prevResult \[\]/,
  },
  {
    name: "interfaces of prevResult",
    stdin: conf("1.0.0", { prevResult: { interfaces: ["eth0"] } }),
    code: 7,
    says: /prevResult\.interfaces/,
  },
  {
    name: "ips that are no list",
    stdin: conf("1.0.0", { runtimeConfig: { ips: "10.0.0.1" } }),
    code: 7,
    says: /runtimeConfig\.ips/,
  },
  {
    name: "ips of args.cni that are no list",
    stdin: conf("1.0.0", { args: { cni: { ips: "10.0.0.1" } } }),
    code: 7,
    says: /args\.cni\.ips/,
  },
  {
    name: "an address of args.cni",
    stdin: conf("1.0.0", { args: { cni: { ips: ["10.0.0.1", "x"] } } }),
    code: 7,
    says: /args\.cni\.ips\[1\] "x"/,
  },
  {
    name: "an IPv6 address",
    stdin: conf("1.0.0", { runtimeConfig: { ips: ["fd00::1"] } }),
    code: 7,
    says: /IPv6/,
  },
  {
    name: "a prefix of 33",
    stdin: conf("1.0.0", { runtimeConfig: { ips: ["10.0.0.1/33"] } }),
    code: 7,
    says: /10\.0\.0\.1\/33/,
  },
  {
    name: "labels",
    stdin: conf("1.0.0", { args: { cni: { labels: [{ key: "a" }] } } }),
    code: 7,
    says: /labels\[0\]/,
  },
  {
    name: "CHECK without prevResult",
    env: { CNI_COMMAND: "CHECK" },
    code: 7,
    says: /prevResult is missing/,
  },
  {
    name: "CHECK of another interface",
    env: { CNI_COMMAND: "CHECK", CNI_IFNAME: "eth1" },
    stdin: conf("1.1.0", { prevResult: RESULTS["1.1.0"] as JsonObject }),
    code: 7,
    says: /no interface eth1/,
  },
  { name: "GC without the list", env: { CNI_COMMAND: "GC" }, code: 7, says: /valid-attachments/ },
  {
    name: "GC with a broken list",
    env: { CNI_COMMAND: "GC" },
    stdin: conf("1.1.0", { "cni.dev/valid-attachments": [{ containerID: "a" }] }),
    code: 7,
    says: /valid-attachments\[0\]/,
  },
];

for (const { name, env, stdin, code, says } of REFUSED) {
  Deno.test(`refused with code ${code}: ${name}`, async () => {
    const agent = new FakeAgent();
    const output = await call(env ?? {}, stdin ?? conf("1.1.0"), agent);
    const error = JSON.parse(output.stdout);
    assert.equal(output.exitCode, 1);
    assert.equal(error.code, code);
    assert.match(error.msg, says);
    assert.deepEqual(agent.calls, []);
  });
}

const AGENT_FAULTS = [
  { command: "ADD", grpc: 14, code: 11 },
  { command: "ADD", grpc: 4, code: 11 },
  { command: "ADD", grpc: 3, code: 7 },
  { command: "ADD", grpc: 5, code: 3 },
  { command: "ADD", grpc: 6, code: 104 },
  { command: "ADD", grpc: 8, code: 101 },
  { command: "ADD", grpc: 13, code: 100 },
  { command: "ADD", grpc: 2, code: 100 },
  { command: "CHECK", grpc: 9, code: 102 },
  { command: "CHECK", grpc: 14, code: 11 },
  { command: "CHECK", grpc: 7, code: 103 },
  { command: "GC", grpc: 14, code: 11 },
  { command: "GC", grpc: 12, code: 105 },
  { command: "STATUS", grpc: 14, code: 50 },
  { command: "STATUS", grpc: 4, code: 50 },
  { command: "STATUS", grpc: 12, code: 50 },
  { command: "DEL", grpc: 13, code: 100 },
] as const;

for (const { command, grpc, code } of AGENT_FAULTS) {
  Deno.test(`${command} when the agent says ${grpc} is code ${code}`, async () => {
    const agent = new FakeAgent();
    agent.fault = new RpcError(grpc, "so it is");
    const stdin = conf("1.1.0", {
      prevResult: command === "CHECK" ? RESULTS["1.1.0"] as JsonObject : {},
      "cni.dev/valid-attachments": [],
    });
    const output = await call({ CNI_COMMAND: command }, stdin, agent);
    assert.equal(output.exitCode, 1);
    const error = JSON.parse(output.stdout);
    assert.equal(error.code, code);
    assert.equal(error.msg, "so it is");
  });
}

const RETRY_HINTS = [
  {
    name: "the agent's own words",
    fault: new RpcError(14, "the dataplane does not answer"),
    says: /^novanet-agent says: the dataplane does not answer\. /,
  },
  {
    name: "no connection",
    fault: new RpcError(14, "cannot connect", { cause: new Deno.errors.ConnectionRefused() }),
    says: /^novanet-agent does not answer/,
  },
  { name: "no answer in time", fault: new RpcError(4, "late"), says: /^novanet-agent does not/ },
] as const;

for (const { name, fault, says } of RETRY_HINTS) {
  Deno.test(`the details of code 11 with ${name}`, async () => {
    const agent = new FakeAgent();
    agent.fault = fault;
    const error = JSON.parse((await call({}, conf("1.1.0"), agent)).stdout);
    assert.equal(error.code, 11);
    assert.match(error.details, says);
  });
}

const READINESS = [
  { ready: true, degraded: false, code: undefined },
  { ready: false, degraded: false, code: 50 },
  { ready: false, degraded: true, code: 51 },
  { ready: true, degraded: true, code: 51 },
] as const;

for (const { ready, degraded, code } of READINESS) {
  Deno.test(`STATUS with ready ${ready}, degraded ${degraded} gives ${code ?? "no"} error`, async () => {
    const agent = new FakeAgent();
    agent.ready = { ready, degraded, reasons: ["dataplane not connected", "no pod CIDR"] };
    const output = await call({ CNI_COMMAND: "STATUS" }, conf("1.1.0"), agent);
    if (code === undefined) {
      assert.deepEqual(output, { exitCode: 0, stdout: "", stderr: "" });
      return;
    }
    const error = JSON.parse(output.stdout);
    assert.equal(error.code, code);
    assert.equal(error.details, "dataplane not connected; no pod CIDR");
  });
}

Deno.test("DEL with the agent down is recorded and succeeds, once for each attachment", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const agent = new FakeAgent();
    agent.fault = new RpcError(14, "connect ENOENT");
    const spoolDir = `${root}/deep/spool`;
    const env = { CNI_COMMAND: "DEL", CNI_ARGS: "K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop" };
    for (let repeated = 0; repeated < 2; repeated++) {
      const output = await call(env, conf("0.4.0", { spoolDir }), agent);
      assert.deepEqual(output, { exitCode: 0, stdout: "", stderr: "" });
    }
    const names = [...Deno.readDirSync(spoolDir)].map((entry) => entry.name);
    assert.deepEqual(names, ["c0ffee0123456789@eth0.json"]);
    assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${spoolDir}/${names[0]}`)), {
      container_id: "c0ffee0123456789",
      if_name: "eth0",
      netns: "/run/netns/blue",
      pod_name: "web-0",
      pod_namespace: "shop",
      unix_ms: Date.parse("2026-11-21T08:00:00Z"),
    });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("DEL that can't be recorded is code 5", async () => {
  const file = Deno.makeTempFileSync();
  try {
    const agent = new FakeAgent();
    agent.fault = new RpcError(14, "connect ENOENT");
    const output = await call({ CNI_COMMAND: "DEL" }, conf("1.0.0", { spoolDir: file }), agent);
    assert.equal(JSON.parse(output.stdout).code, CniCode.IO_FAILURE);
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("the log says what was done, is 0640, and its loss fails nothing", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const logFile = `${root}/cni.log`;
    await call({}, conf("1.0.0", { logFile }));
    const agent = new FakeAgent();
    agent.fault = new RpcError(8, "no free address");
    await call({}, conf("1.0.0", { logFile }), agent);
    assert.equal((Deno.statSync(logFile).mode ?? 0) & 0o777, 0o640 & ~Deno.umask());
    assert.deepEqual(Deno.readTextFileSync(logFile).split("\n"), [
      "2026-11-21T08:00:00.000Z level=info command=ADD container_id=c0ffee0123456789 if_name=eth0 " +
      "netns=/run/netns/blue pod=default/c0ffee0123456789 ip=10.244.0.5 ms=0",
      "2026-11-21T08:00:00.000Z level=error command=ADD container_id=c0ffee0123456789 if_name=eth0 " +
      'netns=/run/netns/blue pod=default/c0ffee0123456789 code=101 error="no free address" ms=0',
      "",
    ]);
    const output = await call({}, conf("1.0.0", { logFile: `${root}/none/cni.log` }));
    assert.equal(output.exitCode, 0);
    assert.match(output.stderr, /cannot append to logFile/);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("stdin beyond the bound is code 6", async () => {
  const output = await call({}, new Uint8Array(4 * 1024 * 1024 + 1).fill(0x20));
  assert.equal(JSON.parse(output.stdout).code, CniCode.DECODING_FAILURE);
  const fits = await call({}, JSON.stringify(conf("1.0.0")).padEnd(4 * 1024 * 1024));
  assert.equal(fits.exitCode, 0);
});

Deno.test("VERSION without stdin answers too", async () => {
  const output = await call({ CNI_COMMAND: "VERSION" }, "");
  assert.equal(JSON.parse(output.stdout).cniVersion, "1.1.0");
});

Deno.test("every error of any garbage is JSON with a code of the table", async () => {
  const random = new SeededRandom(20261121);
  const codes = new Set<number>(Object.values(CniCode));
  const seed = JSON.stringify(conf("1.1.0", {
    prevResult: RESULTS["1.1.0"] as JsonObject,
    runtimeConfig: { ips: ["10.0.0.1"] },
    args: { cni: { labels: [{ key: "a", value: "b" }] } },
    "cni.dev/valid-attachments": [{ containerID: "a", ifname: "b" }],
  }));
  for (let round = 0; round < 3000; round++) {
    const bytes = new TextEncoder().encode(seed);
    const edits = 1 + random.below(4);
    for (let edit = 0; edit < edits; edit++) {
      bytes[random.below(bytes.length)] = '{}[]",:0a\xff'.charCodeAt(random.below(10));
    }
    const env = {
      CNI_COMMAND: COMMANDS[random.below(COMMANDS.length)],
      CNI_ARGS: String.fromCharCode(
        ...Array.from({ length: random.below(9) }, () => 48 + random.below(20)),
      ),
    };
    const output = await call(env, bytes.subarray(0, bytes.length - random.below(3)));
    assert.equal(output.stderr.includes("\n    at "), false);
    if (output.exitCode === 0) continue;
    const error = JSON.parse(output.stdout);
    assert.ok(codes.has(error.code), output.stdout);
    assert.notEqual(error.code, CniCode.INTERNAL, output.stdout);
    assert.ok(SUPPORTED_VERSIONS.includes(error.cniVersion), output.stdout);
  }
});

Deno.test("the environment of the tests is a complete ADD", async () => {
  assert.equal((await call(ENV, conf("1.0.0"))).exitCode, 0);
});
