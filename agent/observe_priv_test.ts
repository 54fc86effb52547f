import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Ipv4 } from "../shared/net/mod.ts";
import {
  AgentControl,
  DropReason,
  FlowEventSchema,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../shared/rpc/client.ts";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { MOST_SUBSCRIBERS } from "../shared/flows/fan_out.ts";
import { AgentLab } from "./testing/agent_lab.ts";

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress:
    - from: [{ podSelector: { matchLabels: { app: client } } }]
      ports: [{ port: 80 }]
`;
const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
spec: { containers: [{ name: c, image: i, ports: [{ name: http, containerPort: 80 }] }] }
`;

const MESH = { ip: "10.244.0.2", port: 80 };
const RATE = { cidr: "10.0.0.0/8", rate: 10 };

async function code(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    return error instanceof RpcError ? RpcCode[error.code] ?? "?" : String(error);
  }
}

/** GET in the agent's namespace. */
async function get(lab: AgentLab, path: string): Promise<{ status: string; body: string }> {
  const script =
    `exec 3<>/dev/tcp/127.0.0.1/9103; printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
  const { stdout } = await lab.host.run(["timeout", "5", "bash", "-c", script]);
  const [head = "", body = ""] = stdout.split("\r\n\r\n");
  return { status: head.split(" ")[1] ?? "", body };
}

Deno.test("policies follow the folder, labels come from the Pod object, then from AddPod", async () => {
  await using lab = await AgentLab.start();
  const web = await lab.addPod("web", { app: "other" });
  await lab.addPod("client", { app: "client" });
  const idOf = (ip: string) => lab.dataplane.endpoints.get(Ipv4.parse(ip).value)?.identityId ?? 0;
  const before = idOf(web.answer.ip);
  Deno.writeTextFileSync(`${lab.manifests}/web.yaml`, POLICY);
  Deno.writeTextFileSync(`${lab.manifests}/pod.yaml`, POD);
  await eventually(() => idOf(web.answer.ip) !== before);
  const rules = async () => (await lab.control.listPolicies({})).rules;
  const allowed = await eventually(async () =>
    (await rules()).find(({ rule }) => rule === "default/web:ingress[0]")
  );
  assert.deepEqual(
    [allowed.dstIdentity, allowed.dstPort, allowed.protocol, allowed.direction, allowed.action],
    [idOf(web.answer.ip), 80, 6, PolicyDirection.INGRESS, PolicyAction.ALLOW],
  );
  const isolation = (await rules()).find((rule) => rule.isolation);
  assert.deepEqual(
    [isolation?.rule, isolation?.dstIdentity],
    ["default/web:ingress[default-deny]", idOf(web.answer.ip)],
  );
  await eventually(() => lab.dataplane.policies.some(({ ruleId }) => ruleId === allowed.ruleId));
  const labels = (await lab.ext.listPods({})).pods.find(({ name }) => name === "web")?.labels;
  assert.equal(labels?.app, "web");

  Deno.writeTextFileSync(`${lab.manifests}/web.yaml`, POLICY.replace("port: 80", "port: 800000"));
  const { policyErrors } = await eventually(async () => {
    const status = await lab.control.getAgentStatus({});
    return status.policyErrors.length > 0 && status;
  });
  assert.match(policyErrors.join(), /web\.yaml:\d+ .*800000/);
  assert.equal((await rules()).some(({ ruleId }) => ruleId === allowed.ruleId), true);

  await lab.killAgent();
  await lab.startAgent();
  assert.deepEqual(
    (await rules()).find(({ rule }) => rule === "default/web:ingress[0]")?.ruleId,
    allowed.ruleId,
  );
  Deno.removeSync(`${lab.manifests}/web.yaml`);
  await eventually(async () => (await rules()).length === 2);
});

Deno.test("a pod whose labels change is never under neither policy", async () => {
  await using lab = await AgentLab.start({}, { "web.yaml": POLICY, "pod.yaml": POD });
  const web = await lab.addPod("web");
  const ip = Ipv4.parse(web.answer.ip).value;
  const before = lab.dataplane.endpoints.get(ip)?.identityId;
  lab.dataplane.calls.length = 0;
  const relabelled = POD.replace("app: web", "app: web, tier: x");
  Deno.writeTextFileSync(`${lab.manifests}/pod.yaml`, relabelled);
  await eventually(() => lab.dataplane.endpoints.get(ip)?.identityId !== before);
  const calls = await eventually(() => {
    const methods = lab.dataplane.calls.map(([method]) => method);
    return methods.length >= 3 && methods;
  });
  assert.deepEqual(calls, ["patchPolicies", "upsertEndpoint", "patchPolicies"]);
  const patches = lab.dataplane.calls.filter(([method]) => method === "patchPolicies")
    .map(([, detail]) => detail);
  assert.match(patches[0] ?? "", /^\+[1-9]\d* -0$/, "nothing goes before the endpoint is moved");
  assert.match(patches[1] ?? "", /^\+0 -[1-9]/);
});

Deno.test("a pod whose labels change while it is added opens with the new identity only", async () => {
  await using lab = await AgentLab.start({}, { "web.yaml": POLICY, "pod.yaml": POD });
  const held = lab.dataplane.holdUpsert();
  const added = lab.addPod("web");
  await held.reached;
  const relabelled = POD.replace("app: web", "app: web, tier: x");
  Deno.writeTextFileSync(`${lab.manifests}/pod.yaml`, relabelled);
  await eventually(async () => (await lab.ext.listPods({})).pods[0]?.labels.tier === "x");
  held.letGo();
  const { answer } = await added;
  const endpoint = lab.dataplane.endpoints.get(Ipv4.parse(answer.ip).value);
  assert.equal(endpoint?.identityId, (await lab.ext.listPods({})).pods[0]?.identityId);
});

Deno.test("flows: named, filtered, and streams end with the client", async () => {
  await using lab = await AgentLab.start();
  const [a, b] = [await lab.addPod("a"), await lab.addPod("b")];
  const flow = (init: MessageInitShape<typeof FlowEventSchema>) =>
    create(FlowEventSchema, {
      srcIp: Ipv4.parse(a.answer.ip).value,
      dstIp: Ipv4.parse(b.answer.ip).value,
      srcIdentity: 300,
      dstIdentity: 301,
      ...init,
    });
  const stop = new AbortController();
  const drops = lab.control.streamAgentFlows({ dropsOnly: true }, { signal: stop.signal });
  const all = lab.control.streamAgentFlows({ identityFilter: 300 }, { signal: stop.signal });
  const [nextDrop, nextAny] = [drops, all].map((s) => s[Symbol.asyncIterator]().next());
  let arrived = false;
  nextDrop?.then(() => arrived = true);
  await eventually(() => {
    lab.dataplane.emit(flow({ verdict: PolicyAction.ALLOW, eventType: FlowEventType.NEW }));
    lab.dataplane.emit(flow({
      verdict: PolicyAction.DENY,
      eventType: FlowEventType.DROP,
      dropReason: DropReason.POLICY_DENIED,
      ruleId: 1,
    }));
    return arrived;
  });
  const drop = (await nextDrop)?.value;
  assert.deepEqual(
    [drop.srcPod, drop.srcNamespace, drop.dstPod, drop.rule, drop.verdict],
    ["a", "default", "b", "default-deny", PolicyAction.DENY],
  );
  assert.equal((await nextAny)?.value.srcIdentity, 300);
  stop.abort();
});

Deno.test("one flow stream too many is refused, and the others go on", async () => {
  await using lab = await AgentLab.start();
  const stop = new AbortController();
  // One connection has not room for that many calls.
  using other = createRpcClient(AgentControl, { socketPath: `${lab.dir}/novanet.sock` });
  const refused: unknown[] = [];
  for (let count = 0; count <= MOST_SUBSCRIBERS; count++) {
    const client = count % 2 === 0 ? lab.control : other;
    const stream = client.streamAgentFlows({}, { signal: stop.signal });
    stream[Symbol.asyncIterator]().next().catch((error) => refused.push(error));
  }
  await eventually(() => refused.length > 0);
  assert.match(String(refused[0]), new RegExp(`${MOST_SUBSCRIBERS} streams`));
  assert.deepEqual(refused.map((error) => error instanceof RpcError && error.code), [
    RpcCode.RESOURCE_EXHAUSTED,
  ]);
  stop.abort();
});

Deno.test("status says what there is", async () => {
  await using lab = await AgentLab.start();
  await lab.addPod("a");
  const status = await lab.control.getAgentStatus({});
  assert.deepEqual(
    [status.nodeName, status.nodeIp, status.podCidr, status.clusterCidr, status.routingMode],
    ["node-a", "192.0.2.7", "10.244.0.0/24", "10.244.0.0/16", "overlay"],
  );
  assert.ok(["geneve", "vxlan"].includes(status.tunnelProtocol));
  assert.deepEqual(
    [status.endpointCount, status.addressesUsed, status.addressesTotal, status.ready],
    [1, 1, 253, true],
  );
  assert.deepEqual([status.dataplane?.connected, status.dataplane?.attachedPrograms], [true, 2]);
  assert.deepEqual([status.encryption, status.xdpMode], ["disabled", "disabled"]);
  assert.equal(status.policySource, `folder ${lab.manifests}`);
});

Deno.test("RPCs of later issues: changes UNIMPLEMENTED, lists empty, routing FAILED_PRECONDITION", async () => {
  await using lab = await AgentLab.start();
  const { control, services } = lab;
  const expected: [call: () => Promise<unknown>, code: string][] = [
    [() => control.getRoutingPeers({}), "FAILED_PRECONDITION"],
    [() => control.getRoutingPrefixes({}), "FAILED_PRECONDITION"],
    [() => control.getRoutingBFDSessions({}), "FAILED_PRECONDITION"],
    [() => control.getRoutingOSPFNeighbors({}), "FAILED_PRECONDITION"],
    [() => Array.fromAsync(control.streamRoutingEvents({})), "FAILED_PRECONDITION"],
    [() => services.enableSockmap({ podNamespace: "default", podName: "a" }), "UNIMPLEMENTED"],
    [() => services.enableSockmap({ podNamespace: "", podName: "a" }), "INVALID_ARGUMENT"],
    [() => services.disableSockmap({ podNamespace: "default", podName: "" }), "INVALID_ARGUMENT"],
    [() => services.addMeshRedirect({ ...MESH, redirectPort: 15001 }), "UNIMPLEMENTED"],
    [() => services.addMeshRedirect(MESH), "INVALID_ARGUMENT"],
    [() => services.removeMeshRedirect(MESH), "UNIMPLEMENTED"],
    [() => services.removeMeshRedirect({ ...MESH, ip: "pod" }), "INVALID_ARGUMENT"],
    [() => services.configureRateLimit({ ...RATE, burst: 20 }), "UNIMPLEMENTED"],
    [() => services.configureRateLimit(RATE), "INVALID_ARGUMENT"],
    [() => services.removeRateLimit({ cidr: RATE.cidr }), "UNIMPLEMENTED"],
    [() => services.removeRateLimit({ cidr: "10.0.0.1/8" }), "INVALID_ARGUMENT"],
  ];
  for (const [call, want] of expected) assert.equal(await code(call()), want);
  assert.deepEqual((await control.listTunnels({})).tunnels, []);
  assert.deepEqual((await control.listEgressPolicies({})).rules, []);
  assert.deepEqual((await services.listMeshRedirects({})).entries, []);
  assert.deepEqual((await services.getBackendHealth({})).backends, []);
  assert.equal((await services.getSockmapStats({})).activeSockets, 0);
  assert.equal((await services.getRateLimitStats({ cidr: "10.0.0.0/8" })).denied, 0n);
});

Deno.test("health and metrics over HTTP", async () => {
  await using lab = await AgentLab.start();
  await lab.addPod("a");
  const ok = await get(lab, "/healthz");
  assert.deepEqual([ok.status, JSON.parse(ok.body).status], ["200", "ok"]);
  assert.equal((await get(lab, "/readyz")).status, "200");
  const metrics = (await get(lab, "/metrics")).body;
  assert.match(metrics, /^novanet_agent_endpoints_total 1$/m);
  assert.match(metrics, /^novanet_cni_add_duration_seconds_count\{result="ok"\} 1$/m);
  assert.equal((await get(lab, "/other")).status, "404");
  await lab.dataplane.stop();
  await eventually(async () => (await get(lab, "/healthz")).status === "503");
  const sick = JSON.parse((await get(lab, "/healthz")).body);
  assert.deepEqual([sick.status, sick.reason], ["not ready", "dataplane not connected"]);
  assert.ok(typeof sick.version === "string");
});

Deno.test("capture sees what the pod sends and receives, cut to size, and ends", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("a");
  const frames = Array.fromAsync(
    lab.ext.capturePod({ namespace: "default", name: "a", snaplen: 60, maxPackets: 4n }),
  );
  const poke = () =>
    lab.host.try(["timeout", "1", "bash", "-c", `: < /dev/tcp/${pod.answer.ip}/9`]);
  const pokeUntil = async <T>(promise: Promise<T>): Promise<T> => {
    let done = false;
    promise.finally(() => done = true);
    while (!done) await poke();
    return await promise;
  };
  const seen = await pokeUntil(frames);
  assert.equal(seen.length, 4);
  assert.deepEqual(seen.map(({ data }) => data[12]), [8, 8, 8, 8]);
  assert.ok(seen.some(({ originalLen, data }) => originalLen === 74 && data.length === 60));
  const none = lab.ext.capturePod({ namespace: "default", name: "none" });
  assert.equal(await code(Array.fromAsync(none)), "NOT_FOUND");

  const idle = lab.ext.capturePod({ namespace: "default", name: "a" })[Symbol.asyncIterator]();
  await pokeUntil(idle.next());
  await lab.control.delPod(pod.request);
  while ((await idle.next()).done !== true);
});

Deno.test("a sysdump holds every part, and a dataplane that is away is a file that says so", async () => {
  await using lab = await AgentLab.start();
  await lab.addPod("a");
  const dump = async () => {
    const files = await Array.fromAsync(lab.ext.getSysdump({}));
    return new Map(files.map(({ name, data }) => [name, new TextDecoder().decode(data)]));
  };
  const files = await dump();
  for (const [name, text] of files) {
    if (name.endsWith(".json")) assert.doesNotThrow(() => JSON.parse(text), name);
  }
  const links = JSON.parse(files.get("kernel/links.json") ?? "[]") as { name: string }[];
  assert.ok(links.some(({ name }) => name.startsWith("nva")));
  assert.match(files.get("agent/pods.json") ?? "", /"podName": "a"/);
  assert.match(files.get("agent/config.json") ?? "", /"cluster_cidr": "10.244.0.0\/16"/);
  await lab.dataplane.stop();
  await eventually(async () => !(await lab.control.getAgentStatus({})).dataplane?.connected);
  assert.match((await dump()).get("dataplane/endpoints.json") ?? "", /dataplane does not answer/);
});

Deno.test("the host's addresses are endpoints, and are followed", async () => {
  await using lab = await AgentLab.start();
  const ip = Ipv4.parse("192.0.2.33").value;
  await lab.host.run(["ip", "address", "add", "192.0.2.33/32", "dev", "lo"]);
  const endpoint = await eventually(() => lab.dataplane.endpoints.get(ip));
  assert.deepEqual([endpoint.identityId, endpoint.ifindex], [1, 0]);
  await lab.host.run(["ip", "address", "del", "192.0.2.33/32", "dev", "lo"]);
  await eventually(() => !lab.dataplane.endpoints.has(ip));
});

Deno.test("a second agent on the same state says who has it", async () => {
  await using lab = await AgentLab.start();
  const argv = [
    Deno.execPath(),
    "run",
    "-A",
    "agent/main.ts",
    "--config",
    `${lab.dir}/config.json`,
  ];
  const elsewhere = await lab.lab.addNetns();
  const { code, stderr } = await elsewhere.try(argv);
  assert.equal(code, 1);
  assert.match(stderr, /another agent has it \(process \d+\)/);
});
