import assert from "node:assert/strict";
import { ConfigKey, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { containerIdOf } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { assertConsistent, holdings } from "./holdings.ts";
import { scenario } from "./scenario.ts";

const PODS = 100;
const AT_ONCE = 10;

scenario("100 ADD and DEL with 10 at once", {}, async ({ lab, node, step }) => {
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 500n } });
  const before = await holdings(node);
  const workers = await Promise.all(Array.from({ length: AT_ONCE }, () => lab.addNetns()));
  const given: string[] = [];
  const durations: number[] = [];

  /** One pod: added, reached, and deleted, or left. Labels differ, so identities come and go too. */
  const live = async (netns: LabNetns, number: number, leave: boolean) => {
    const attachment = {
      containerId: containerIdOf(`churn ${number}`),
      netnsPath: netns.path,
      podName: `churn-${number}`,
      podNamespace: `ns-${number % 3}`,
    };
    const labels = [{ key: "number", value: `${number % 20}` }];
    const began = performance.now();
    const added = await node.cni("ADD", attachment, { args: { cni: { labels } } });
    durations.push(performance.now() - began);
    assert.equal(added.code, 0, added.stdout);
    const ip = JSON.parse(added.stdout).ips[0].address.split("/")[0];
    given.push(ip);
    await ping(node.netns, ip, { timeoutMs: 5000 });
    if (leave) return;
    const deleted = await node.cni("DEL", attachment);
    assert.equal(deleted.code, 0, deleted.stdout);
  };

  await step(`${PODS} pods come and go`, async () => {
    let next = 0;
    await Promise.all(workers.map(async (netns) => {
      while (next < PODS) await live(netns, next++, false);
    }));
    assert.equal(given.length, PODS);
    assert.equal(new Set(given).size, PODS, "a released address rests before it is given again");
    await assertConsistent(node);
  });

  await step("nothing is leaked", () =>
    eventually(async () => {
      assert.deepEqual(await holdings(node), before);
      return true;
    }).then(() => {}));

  await step("no ADD took long", () => {
    const slowest = Math.max(...durations);
    assert(slowest < 5000, `the slowest took ${Math.round(slowest)} ms`);
  });

  await step("a batch that stays is whole, and GC takes it away", async () => {
    await Promise.all(workers.map((netns, index) => live(netns, PODS + index, true)));
    await assertConsistent(node);
    const gc = await node.cni("GC", { containerId: "", netnsPath: "" }, {
      "cni.dev/valid-attachments": [],
    });
    assert.equal(gc.code, 0, gc.stdout);
    await eventually(async () => {
      assert.deepEqual(await holdings(node), before);
      return true;
    });
  });
});
