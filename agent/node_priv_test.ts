import assert from "node:assert/strict";
import { eventually } from "../shared/testing/eventually.ts";
import { AgentLab, type LabPod, NODE_IP } from "./testing/agent_lab.ts";

function podLinks(lab: AgentLab): string[] {
  using socket = lab.host.rtnetlink();
  return socket.linkList().map(({ name }) => name).filter((name) => name.startsWith("nv")).sort();
}

function names(pods: readonly LabPod[]): string[] {
  return pods.map(({ answer }) => answer.hostIfName).sort();
}

async function ping(lab: AgentLab, pod: LabPod): Promise<void> {
  await pod.netns.run(["ping", "-c1", "-W2", NODE_IP]);
  await lab.host.run(["ping", "-c1", "-W2", pod.answer.ip]);
}

Deno.test("DEL without an interface's name takes all of the container; none is no error", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  await lab.control.addPod({ ...pod.request, ifName: "eth1" });
  const other = await lab.addPod("other");
  await lab.control.delPod({ ...pod.request, ifName: "" });
  await lab.control.delPod({ ...pod.request, ifName: "" });
  assert.deepEqual(podLinks(lab), names([other]));
});

Deno.test("an interface that vanishes while the agent runs is in the status", async () => {
  await using lab = await AgentLab.start();
  const pod = await lab.addPod("web");
  const warnings = async () => (await lab.control.getAgentStatus({})).warnings.join();
  assert.equal(await warnings(), "");
  await lab.host.run(["ip", "link", "del", pod.answer.hostIfName]);
  await eventually(async () => /nvweb-0123456 of pod default\/web is gone/.test(await warnings()));
  await lab.control.addPod(pod.request);
  assert.equal(await warnings(), "");
  await lab.control.delPod(pod.request);
  assert.doesNotMatch(lab.log, /vanished[^]*vanished/);
});

Deno.test("another pod CIDR: pods of the old one stay, counted apart", async () => {
  await using lab = await AgentLab.start({ cluster_cidr: "10.9.0.0/16", node_cidr_mask_size: 28 });
  const pods = await Promise.all(Array.from({ length: 7 }, (_, i) => lab.addPod(`pod${i}`)));
  await lab.killAgent();
  await lab.startAgent({ NOVANET_POD_CIDR: "10.9.1.0/29" });
  const next = await lab.addPod("next");
  const status = await lab.control.getAgentStatus({});
  assert.deepEqual([status.addressesUsed, status.addressesTotal], [1, 5]);
  assert.match(status.warnings.join(), /7 pods have addresses outside of pod CIDR 10\.9\.1\.0\/29/);
  for (const pod of [...pods, next]) await ping(lab, pod);
  await Promise.all(pods.map(({ request }) => lab.control.delPod(request)));
  assert.deepEqual((await lab.control.getAgentStatus({})).warnings, []);
  assert.deepEqual(podLinks(lab), names([next]));
});

Deno.test("what is wrong with a manifest is logged, once", async () => {
  await using lab = await AgentLab.start({}, { "bad.yaml": "kind: NetworkPolicy\n" });
  const logged = () => lab.log.match(/a manifest is not in force[^\n]*bad\.yaml:1/g) ?? [];
  const first = logged().length;
  assert.ok(first > 0, lab.log);
  Deno.writeTextFileSync(`${lab.manifests}/good.yaml`, "apiVersion: v1\nkind: Pod\nmetadata: {}\n");
  await eventually(() => /good\.yaml/.test(lab.log));
  assert.equal(logged().length, first);
});
