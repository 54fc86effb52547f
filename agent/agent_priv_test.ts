import assert from "node:assert/strict";
import { Ipv4 } from "../shared/net/mod.ts";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { AgentLab, podRequest } from "./testing/agent_lab.ts";

async function fails(call: Promise<unknown>, code: RpcCode, text: RegExp = /./): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof RpcError, String(error));
    assert.equal(RpcCode[error.code], RpcCode[code], error.message);
    assert.match(error.message, text);
    return true;
  });
}

function hostLinks(lab: AgentLab): string[] {
  using socket = lab.host.rtnetlink();
  return socket.linkList().map(({ name }) => name).filter((name) => name !== "lo");
}

Deno.test("ADD, CHECK, the same ADD again, DEL, DEL again", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web", { app: "web" });
  assert.deepEqual(
    [pod.answer.ip, pod.answer.gateway, pod.answer.prefixLength, pod.answer.mac, pod.answer.mtu],
    ["10.244.0.2", "10.244.0.1", 24, "02:fe:0a:f4:00:02", 1450],
  );
  assert.equal(pod.answer.hostIfName, "nvweb-0123456");
  await lab.ext.checkPod({
    containerId: pod.request.containerId,
    netns: pod.netns.path,
    ifName: "eth0",
    ips: ["10.244.0.2/24"],
    mac: pod.answer.mac,
  });
  assert.deepEqual(await lab.control.addPod(pod.request), pod.answer);
  const endpoint = lab.dataplane.endpoints.get(Ipv4.parse(pod.answer.ip).value);
  assert.deepEqual([endpoint?.podName, endpoint?.namespace], ["web", "default"]);
  const { identities } = await lab.control.listIdentities({});
  assert.deepEqual(
    identities.map(({ identityId, labels, refCount }) => [
      identityId,
      { ...labels },
      refCount,
    ]),
    [[endpoint?.identityId, { app: "web", "novanet.io/namespace": "default" }, 1]],
  );
  await lab.control.delPod(pod.request);
  await lab.control.delPod(pod.request);
  assert.deepEqual(hostLinks(lab), []);
  await lab.untilNoPrograms();
  assert.equal(lab.dataplane.endpoints.has(Ipv4.parse(pod.answer.ip).value), false);
  assert.deepEqual((await lab.control.listIdentities({})).identities, []);
});

Deno.test("a pod is closed until its policy is in the map: the order of an ADD", async () => {
  await using lab = await AgentLab.start();
  lab.dataplane.calls.length = 0;
  await lab.addPod("web", { app: "web" });
  const methods = lab.dataplane.calls.map(([method]) => method);
  assert.equal(methods.at(-1), "upsertEndpoint");
  assert.deepEqual(methods.filter((method) => method === "attachProgram").length, 2);
});

const STEPS = ["patchPolicies", "attachProgram", "upsertEndpoint"];
for (const step of STEPS) {
  Deno.test(`an ADD that fails at ${step} is undone whole`, async () => {
    await using lab = await AgentLab.start({}, { "deny.yaml": DENY_ALL });
    const before = [...lab.dataplane.endpoints.keys()];
    lab.dataplane.failNext(step);
    await fails(lab.addPod("web", { app: "web" }), RpcCode.INTERNAL, /injected/);
    assert.deepEqual(hostLinks(lab), []);
    assert.deepEqual([...lab.dataplane.endpoints.keys()], before);
    await lab.untilNoPrograms();
    const status = await lab.control.getAgentStatus({});
    assert.deepEqual([status.addressesUsed, status.identityCount], [0, 0]);
    assert.equal((await lab.addPod("web", { app: "web" })).answer.mtu, 1450);
  });
}

const DENY_ALL = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny, namespace: default }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

const BAD: [what: string, change: Record<string, unknown>, text: RegExp][] = [
  ["no pod name", { podName: "" }, /pod_name/],
  ["no namespace", { podNamespace: "" }, /pod_namespace/],
  ["a short container id", { containerId: "short" }, /container_id "short"/],
  ["a container id with a slash", { containerId: "0123456789/abc" }, /container_id/],
  ["no interface", { ifName: "" }, /if_name/],
  ["a long interface", { ifName: "interface-name-16" }, /if_name/],
  ["a netns that is not there", { netns: "/run/netns/none" }, /netns "\/run\/netns\/none"/],
  ["the node's netns", { netns: "/proc/self/ns/net" }, /netns "\/proc\/self.*of the node/],
  ["a file as netns", { netns: "/etc/hostname" }, /netns "\/etc.*is no network namespace/],
  ["a directory as netns", { netns: "/etc" }, /netns "\/etc": is no network namespace/],
  ["a device as netns", { netns: "/dev/null" }, /netns .*is no network namespace/],
  ["another namespace", { netns: "/proc/self/ns/mnt" }, /netns .*is no network namespace/],
  ["an address outside", { requestedIps: ["192.0.2.1"] }, /192\.0\.2\.1.*outside/],
  ["the gateway's address", { requestedIps: ["10.244.0.1"] }, /gateway/],
  ["an address that is none", { requestedIps: ["10.244.0"] }, /requested_ips "10\.244\.0"/],
  ["an IPv6 address", { requestedIps: ["fd00::1"] }, /requested_ips/],
];
Deno.test("bad requests name the field and its value", async (test) => {
  await using lab = await AgentLab.start();
  const netns = await lab.lab.addNetns();
  for (const [what, change, text] of BAD) {
    await test.step(what, async () => {
      const request = { ...podRequest("web", netns.path), ...change };
      await fails(lab.control.addPod(request), RpcCode.INVALID_ARGUMENT, text);
    });
  }
  const asked = { ...podRequest("web", netns.path), requestedIps: ["10.244.0.77/24"] };
  assert.equal((await lab.control.addPod(asked)).ip, "10.244.0.77");
  const other = {
    ...podRequest("other", netns.path),
    ifName: "eth1",
    requestedIps: ["10.244.0.77"],
  };
  await fails(lab.control.addPod(other), RpcCode.FAILED_PRECONDITION, /10\.244\.0\.77.*in use/);
  assert.deepEqual((await lab.ext.listPods({})).pods.map(({ ip }) => ip), ["10.244.0.77"]);
});

Deno.test("an interface that the pod has already is said to be in the way, and stays", async () => {
  await using lab = await AgentLab.start();
  const netns = await lab.lab.addNetns();
  await netns.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "mine"]);
  const request = podRequest("web", netns.path);
  await fails(lab.control.addPod(request), RpcCode.FAILED_PRECONDITION, /interface eth0.*if_name/);
  await netns.run(["ip", "link", "show", "mine"]);
  await lab.control.addPod({ ...request, ifName: "net1" });
  const other = { ...request, containerId: "other-0123456789", ifName: "net1" };
  const text = /interface net1.*container web-0123456789abcdef.*DEL/;
  await fails(lab.control.addPod(other), RpcCode.FAILED_PRECONDITION, text);
  assert.deepEqual((await lab.ext.listPods({})).pods.map(({ ifName }) => ifName), ["net1"]);
  assert.equal(hostLinks(lab).length, 1);
});

Deno.test("fifty pods at once, killed agent, all there again, all deleted, nothing left", async () => {
  await using lab = await AgentLab.start();
  const pods = await Promise.all(
    Array.from({ length: 50 }, (_, i) => lab.addPod(`pod${i}`, { app: `app${i % 5}` })),
  );
  assert.equal(new Set(pods.map(({ answer }) => answer.ip)).size, 50);
  assert.equal((await lab.control.getAgentStatus({})).identityCount, 5);
  const before = await lab.ext.listPods({});
  await lab.killAgent();
  await lab.startAgent();
  assert.deepEqual(await lab.ext.listPods({}), before);
  for (const pod of pods) assert.deepEqual(await lab.control.addPod(pod.request), pod.answer);
  await Promise.all(pods.map(({ request }) => lab.control.delPod(request)));
  assert.deepEqual(hostLinks(lab), []);
  await lab.untilNoPrograms();
  assert.equal((await lab.control.getAgentStatus({})).addressesUsed, 0);
});

Deno.test("exhaustion is RESOURCE_EXHAUSTED and clean; released addresses rest", async () => {
  await using lab = await AgentLab.start({ cluster_cidr: "10.9.0.0/28", node_cidr_mask_size: 28 });
  const pods = await Promise.all(Array.from({ length: 13 }, (_, i) => lab.addPod(`pod${i}`)));
  await fails(lab.addPod("late"), RpcCode.RESOURCE_EXHAUSTED, /13/);
  assert.equal(hostLinks(lab).length, 13);
  const [first, second] = pods;
  assert.ok(first !== undefined && second !== undefined);
  await lab.control.delPod(second.request);
  await lab.control.delPod(first.request);
  assert.equal((await lab.addPod("next")).answer.ip, second.answer.ip);
});

Deno.test("at start: what is gone is freed, what is damaged is repaired", async () => {
  await using lab = await AgentLab.start();
  const [gone, damaged, unplugged] = [
    await lab.addPod("gone"),
    await lab.addPod("damaged"),
    await lab.addPod("unplugged"),
  ];
  await lab.killAgent();
  await gone.netns.run(["ip", "link", "del", "eth0"]);
  await lab.host.run(["umount", gone.netns.path]);
  await damaged.netns.run(["ip", "route", "del", "default"]);
  await lab.host.run(["ip", "link", "del", unplugged.answer.hostIfName]);
  await lab.startAgent();
  const { pods } = await lab.ext.listPods({});
  assert.deepEqual(pods.map(({ name }) => name), ["damaged", "unplugged"]);
  for (const pod of [damaged, unplugged]) {
    await lab.ext.checkPod({ ...pod.request, ips: [pod.answer.ip] });
  }
  assert.equal(lab.dataplane.endpoints.has(Ipv4.parse(gone.answer.ip).value), false);
});

Deno.test("CHECK says what differs", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  const check = { ...pod.request, ips: [pod.answer.ip] };
  await fails(
    lab.ext.checkPod({ ...check, ips: ["10.244.0.9"] }),
    RpcCode.FAILED_PRECONDITION,
    /10\.244\.0\.9/,
  );
  await pod.netns.run(["ip", "route", "del", "default"]);
  await fails(lab.ext.checkPod(check), RpcCode.FAILED_PRECONDITION, /default route/);
  lab.dataplane.endpoints.clear();
  await fails(lab.ext.checkPod(check), RpcCode.FAILED_PRECONDITION, /no endpoint/);
  const unknown = { ...check, containerId: "unknown" };
  await fails(lab.ext.checkPod(unknown), RpcCode.NOT_FOUND);
});

Deno.test("GC deletes what is not listed", async () => {
  await using lab = await AgentLab.start();
  const [keep, drop] = [await lab.addPod("keep"), await lab.addPod("drop")];
  const valid = [{ containerId: keep.request.containerId, ifName: "eth0" }];
  const { removed } = await lab.ext.collectGarbage({ valid });
  assert.deepEqual(removed.map(({ containerId }) => containerId), [drop.request.containerId]);
  assert.deepEqual(hostLinks(lab), [keep.answer.hostIfName]);
  const bad = { valid: [{ containerId: "", ifName: "eth0" }] };
  await fails(lab.ext.collectGarbage(bad), RpcCode.INVALID_ARGUMENT, /valid\[0\]\.container_id/);
});

Deno.test("deletions from while the agent was down are worked off", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.killAgent();
  const entry = {
    container_id: pod.request.containerId,
    if_name: "eth0",
    netns: pod.netns.path,
    pod_name: "web",
    pod_namespace: "default",
    unix_ms: Date.now(),
  };
  Deno.writeTextFileSync(`${lab.dir}/state/spool/a.json`, JSON.stringify(entry));
  await lab.startAgent();
  await eventually(() => hostLinks(lab).length === 0);
  await eventually(async () => (await lab.control.getAgentStatus({})).pendingDeletes === 0);
  assert.deepEqual([...Deno.readDirSync(`${lab.dir}/state/spool`)], []);
});

Deno.test("a dataplane that restarts is waited for, and gets what it lacks", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.dataplane.stop();
  await eventually(async () => !(await lab.control.getAgentStatus({})).dataplane?.connected);
  const late = lab.addPod("late");
  lab.dataplane.endpoints.clear();
  lab.dataplane.programs.clear();
  lab.dataplane.endpoints.set(99, {
    ip: 99,
    ifindex: 0,
    mac: new Uint8Array(6),
    identityId: 7,
    podName: "",
    namespace: "",
    nodeIp: 0,
  });
  await lab.dataplane.start();
  await late;
  assert.equal(lab.dataplane.endpoints.has(Ipv4.parse(pod.answer.ip).value), true);
  assert.equal(lab.dataplane.endpoints.has(99), false);
  assert.equal(lab.dataplane.programs.has(`${pod.answer.hostIfName} ingress`), true);
});

Deno.test("without a dataplane: ADD is UNAVAILABLE and leaves nothing, DEL works", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.dataplane.stop();
  await fails(lab.addPod("late"), RpcCode.UNAVAILABLE, /dataplane/);
  assert.deepEqual(hostLinks(lab), [pod.answer.hostIfName]);
  await lab.control.delPod(pod.request);
  assert.deepEqual(hostLinks(lab), []);
  const readiness = await lab.ext.getReadiness({});
  assert.deepEqual([readiness.ready, readiness.reasons], [false, ["dataplane not connected"]]);
  const flows = lab.control.streamAgentFlows({});
  await fails(Array.fromAsync(flows), RpcCode.UNAVAILABLE, /dataplane/);
});

Deno.test("an interface that is made anew stays closed until its programs are attached", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.killAgent();
  await lab.host.run(["ip", "link", "del", pod.answer.hostIfName]);
  await lab.dataplane.stop();
  lab.dataplane.programs.clear();
  const started = lab.startAgent();
  using socket = lab.host.rtnetlink();
  const link = await eventually(() => socket.linkFind(pod.answer.hostIfName));
  await eventually(async () => (await lab.ext.listPods({})).pods.length === 1);
  assert.equal(socket.linkGet(link.index).up, false);
  await lab.dataplane.start();
  await started;
  assert.equal(socket.linkGet(link.index).up, true);
  assert.equal(lab.dataplane.programs.size, 2);
  await lab.ext.checkPod({ ...pod.request, ips: [pod.answer.ip] });
});
