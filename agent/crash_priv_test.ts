import assert from "node:assert/strict";
import { SeededRandom } from "../shared/testing/seeded_random.ts";
import { AgentLab, type LabPod, podRequest } from "./testing/agent_lab.ts";

const ROUNDS = 6;
const PODS = 10;

/** Adds pods until the agent is killed in the midst of it; says what was answered. */
async function addUntilKilled(lab: AgentLab, pods: LabPod["request"][], afterMs: number) {
  const answers = pods.map(async (request) => {
    try {
      return [request.containerId, await lab.control.addPod(request)] as const;
    } catch {
      return undefined;
    }
  });
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  await lab.killAgent();
  const answered = (await Promise.all(answers)).filter((answer) => answer !== undefined);
  return new Map(answered);
}

Deno.test("killed at any moment of ADDs and DELs: no address twice, no answer forgotten, nothing left", async () => {
  await using lab = await AgentLab.start();
  const random = new SeededRandom(7);
  const requests: LabPod["request"][] = [];
  for (let i = 0; i < PODS; i++) {
    requests.push(podRequest(`pod${i}`, (await lab.lab.addNetns()).path, { app: `a${i % 3}` }));
  }
  for (let round = 0; round < ROUNDS; round++) {
    const answered = await addUntilKilled(lab, requests, 1 + random.below(60));
    await lab.startAgent();
    const again = await Promise.all(requests.map((request) => lab.control.addPod(request)));
    assert.equal(new Set(again.map(({ ip }) => ip)).size, PODS);
    for (const [index, request] of requests.entries()) {
      const before = answered.get(request.containerId);
      if (before !== undefined) assert.deepEqual(again[index], before);
      await lab.ext.checkPod({ ...request, ips: [again[index]?.ip ?? ""] });
    }
    const deletes = requests.map((request) => lab.control.delPod(request).catch(() => {}));
    await new Promise((resolve) => setTimeout(resolve, random.below(30)));
    await lab.killAgent();
    await Promise.all(deletes);
    await lab.startAgent();
    await Promise.all(requests.map((request) => lab.control.delPod(request)));
    using socket = lab.host.rtnetlink();
    assert.deepEqual(socket.linkList().map(({ name }) => name), ["lo"]);
    assert.equal((await lab.control.getAgentStatus({})).addressesUsed, 0);
    assert.deepEqual([...lab.dataplane.endpoints.values()].map(({ identityId }) => identityId), [
      1,
    ]);
    await lab.untilNoPrograms();
  }
});
