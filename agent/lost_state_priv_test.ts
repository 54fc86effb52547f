import assert from "node:assert/strict";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { AgentLab, type LabPod, NODE_IP, podRequest } from "./testing/agent_lab.ts";

const MAIN = new URL("./main.ts", import.meta.url).pathname;

function podLinks(lab: AgentLab): string[] {
  using socket = lab.host.rtnetlink();
  return socket.linkList().map(({ name }) => name).filter((name) => name.startsWith("nv")).sort();
}

function names(pods: readonly LabPod[]): string[] {
  return pods.map(({ answer }) => answer.hostIfName).sort();
}

/** Removes the database, as a wiped or another state directory would. */
function loseDatabase(lab: AgentLab): void {
  for (const { name } of Deno.readDirSync(`${lab.dir}/state`)) {
    if (name.startsWith("agent.db")) Deno.removeSync(`${lab.dir}/state/${name}`);
  }
}

/** Runs an agent in the lab's namespace that is to fail. @returns its only line */
async function failingAgent(lab: AgentLab, change: Record<string, unknown>): Promise<string> {
  const file = `${lab.dir}/second.json`;
  const own = (name: string) => `${lab.dir}/second-${name}`;
  const config = {
    state_dir: own("state"),
    manifests_dir: own("manifests"),
    listen_socket: own("novanet.sock"),
    cni_socket: own("cni.sock"),
    dataplane_socket: `${lab.dir}/dataplane.sock`,
    ebpf_services: { socket_path: own("services.sock") },
    metrics_address: "127.0.0.1:9104",
  };
  Deno.writeTextFileSync(file, JSON.stringify({ ...config, ...change }));
  const second = lab.host.start([Deno.execPath(), "run", "-A", MAIN, "--config", file]);
  await eventually(() => second.exited, { timeoutMs: 20_000, what: "the second agent's end" });
  return second.stderr;
}

async function ping(lab: AgentLab, pod: LabPod): Promise<void> {
  await pod.netns.run(["ping", "-c1", "-W2", NODE_IP]);
  await lab.host.run(["ping", "-c1", "-W2", pod.answer.ip]);
}

Deno.test("a second agent in the namespace says who is there and leaves all pods alone", async () => {
  await using lab = await AgentLab.start();
  const pods = [await lab.addPod("web"), await lab.addPod("db")];
  const text = await failingAgent(lab, {});
  assert.match(text, /process \d+ \(state_dir .*state\) is the agent of this network namespace/);
  assert.deepEqual(podLinks(lab), names(pods));
  for (const pod of pods) await ping(lab, pod);
});

for (const what of ["metrics address", "socket"]) {
  Deno.test(`an agent whose ${what} is taken touches no pod`, async () => {
    await using lab = await AgentLab.start();
    const pods = [await lab.addPod("web")];
    await lab.killAgent();
    const change = what === "socket"
      ? { listen_socket: `${lab.dir}/dataplane.sock` }
      : { metrics_address: "198.51.100.77:9103" };
    assert.match(await failingAgent(lab, change), what === "socket" ? /listen/ : /metrics_address/);
    assert.deepEqual(podLinks(lab), names(pods));
    await ping(lab, pods[0] as LabPod);
    await lab.startAgent();
    await lab.ext.checkPod({ ...pods[0]?.request, ips: [pods[0]?.answer.ip ?? ""] });
  });
}

Deno.test("a lost database: pods keep their traffic and their addresses, and DEL finds them", async () => {
  await using lab = await AgentLab.start({ cluster_cidr: "10.9.0.0/28", node_cidr_mask_size: 28 });
  const pods = [await lab.addPod("web"), await lab.addPod("db"), await lab.addPod("cache")];
  const [web, db, cache] = pods as [LabPod, LabPod, LabPod];
  const sandbox = { ...podRequest("web", (await lab.lab.addNetns()).path) };
  const endpoints = [...lab.dataplane.endpoints.keys()].sort();
  await lab.killAgent();
  loseDatabase(lab);
  lab.dataplane.calls.length = 0;
  await lab.startAgent();
  assert.deepEqual(podLinks(lab), names(pods));
  for (const pod of pods) await ping(lab, pod);
  assert.deepEqual([...lab.dataplane.endpoints.keys()].sort(), endpoints);
  const told = lab.dataplane.calls.map(([method]) => method);
  assert.deepEqual(told.filter((method) => /delete|detach/.test(method)), []);
  const status = await lab.control.getAgentStatus({});
  assert.equal(status.addressesUsed, 3);
  assert.match(status.warnings.join(), /did not know 3 running pods.*default\/cache, default\/db/);

  const late = await Promise.all(Array.from({ length: 10 }, (_, i) => lab.addPod(`late${i}`)));
  const ips = [...pods, ...late].map(({ answer }) => answer.ip);
  assert.equal(new Set(ips).size, 13);
  await assert.rejects(
    lab.control.addPod({ ...sandbox, containerId: "another-container" }),
    (error) => error instanceof RpcError && error.code === RpcCode.RESOURCE_EXHAUSTED,
  );

  await lab.ext.checkPod({ ...web.request, ips: [web.answer.ip], mac: web.answer.mac });
  assert.deepEqual(await lab.control.addPod(web.request), web.answer);
  await lab.control.delPod(db.request);
  await lab.control.delPod(db.request);
  const rest = [web, cache, ...late];
  assert.deepEqual(podLinks(lab), names(rest));
  const valid = [web, ...late].map(({ request: { containerId, ifName } }) => ({
    containerId,
    ifName,
  }));
  await lab.ext.collectGarbage({ valid });
  assert.deepEqual(podLinks(lab), names([web, ...late]));
  await lab.killAgent();
  await lab.startAgent();
  await ping(lab, web);
  await lab.control.delPod({ ...web.request, ifName: "" });
  assert.deepEqual(podLinks(lab), names(late));
});

Deno.test("an interface that nothing tells about stays with its address, until its DEL", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.killAgent();
  loseDatabase(lab);
  lab.dataplane.endpoints.clear();
  await lab.startAgent();
  assert.deepEqual(podLinks(lab), names([pod]));
  const { warnings } = await lab.control.getAgentStatus({});
  assert.match(warnings.join(), /nvweb-0123456 \(10\.244\.0\.2\) belongs to no known pod/);
  assert.equal((await lab.addPod("next")).answer.ip, "10.244.0.3");
  assert.equal(lab.dataplane.programs.has("nvweb-0123456 ingress"), true);
  await lab.control.delPod(pod.request);
  assert.deepEqual(podLinks(lab), ["nvnext-012345"]);
  assert.deepEqual((await lab.control.getAgentStatus({})).warnings, []);
});
