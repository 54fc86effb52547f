import assert from "node:assert/strict";
import { join } from "node:path";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { CommandResult } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { attachmentOf, containerIdOf } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

const TRY_AGAIN_LATER = 11;
const NOT_AVAILABLE = 50;

function assertFails({ code, stdout }: CommandResult, cniCode: number): void {
  assert.notEqual(code, 0, stdout);
  assert.equal(JSON.parse(stdout).code, cniCode, stdout);
}

scenario("CNI while a daemon is down", {}, async ({ lab, node, step }) => {
  const [web, kept] = [await node.addPod("web"), await node.addPod("kept")];
  const late = async (name: string) => ({
    containerId: containerIdOf(name),
    netnsPath: (await lab.addNetns()).path,
    podName: name,
    podNamespace: "default",
  });
  const hostLinks = () => {
    using links = node.netns.rtnetlink();
    return links.linkList().map(({ name }) => name).filter((name) => name.startsWith("nv"));
  };
  const spooled = () => {
    const folder = Deno.readDirSync(join(node.dir, "state", "spool"));
    return Array.from(folder, ({ name }) => name);
  };

  await step("without the agent ADD asks to try again, and leaves nothing", async () => {
    await node.agent.kill();
    const before = hostLinks();
    assertFails(await node.cni("ADD", await late("late")), TRY_AGAIN_LATER);
    assert.deepEqual(hostLinks(), before);
    const status = await node.cni("STATUS", { containerId: "", netnsPath: "" });
    assertFails(status, NOT_AVAILABLE);
    const check = await node.cni("CHECK", attachmentOf(web), { prevResult: web.result });
    assertFails(check, TRY_AGAIN_LATER);
  });

  await step("without the agent DEL succeeds and is written down, once", async () => {
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await node.delPod(web), { code: 0, stdout: "", stderr: "" });
    }
    assert.deepEqual(spooled(), [`${web.containerId}@eth0.json`]);
    assert.equal(hostLinks().length, 2, "nobody is there to do it");
    await ping(kept.netns, web.ip);
  });

  await step("the agent that is back has done it", async () => {
    await node.startAgent();
    await eventually(() => {
      assert.deepEqual(spooled(), []);
      assert.equal(hostLinks().length, 1);
      return true;
    });
    const status = await node.client(AgentControl, "novanet.sock").getAgentStatus({});
    assert.deepEqual([status.pendingDeletes, status.addressesUsed], [0, 1]);
    await ping(node.netns, kept.ip);
  });

  await step("a DEL from before does not undo an ADD from after", async () => {
    await node.agent.kill();
    assert.equal((await node.delPod(web)).code, 0);
    await node.startAgent();
    const again = await node.cni("ADD", attachmentOf(web));
    assert.equal(again.code, 0, again.stdout);
    await eventually(() => spooled().length === 0);
    await ping(node.netns, JSON.parse(again.stdout).ips[0].address.split("/")[0]);
    assert.equal((await node.delPod(web)).code, 0);
  });

  await step("a dataplane that restarts is waited for", async () => {
    await node.dataplane.kill();
    const adding = node.cni("ADD", await late("patient"));
    await node.startDataplane();
    const added = await adding;
    assert.equal(added.code, 0, added.stdout);
    await ping(node.netns, JSON.parse(added.stdout).ips[0].address.split("/")[0]);
  });

  await step("a dataplane that stays away fails ADD with try again, and undoes it", async () => {
    await node.dataplane.kill();
    const before = hostLinks();
    const patient = await late("impatient");
    assertFails(await node.cni("ADD", patient), TRY_AGAIN_LATER);
    assert.deepEqual(hostLinks(), before);
    const status = await node.client(AgentControl, "novanet.sock").getAgentStatus({});
    assert.equal(status.addressesUsed, before.length);
    assert.equal((await node.delPod(kept)).code, 0, "DEL needs no dataplane");
    assert.equal(hostLinks().length, before.length - 1);
    await node.startDataplane();
    await eventually(async () => {
      const added = await node.cni("ADD", patient);
      return added.code === 0;
    });
  });
});
