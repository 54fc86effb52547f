import assert from "node:assert/strict";
import { ConfigKey, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { containerIdOf } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { Churn } from "../../bench/soak/churn.ts";
import { diagnosis } from "../../bench/soak/diagnosis.ts";
import { assertConsistent, holdings } from "./holdings.ts";
import { scenario } from "./scenario.ts";

const PODS = 100;
const AT_ONCE = 10;
/** Far below what runtimes wait, and far above what a machine needs that has other work to do. */
const LONGEST_ADD_MS = 30_000;

/** While daemons die: 200 pods come and go in all. */
const DISTURBED_PODS = 100;
const LONGEST_PAUSE_MS = 1500;

/** As `novanet-cni install` writes the configuration. */
const QUICK = { cniConfig: { quickAttach: true } };

scenario("100 ADD and DEL with 10 at once, left alone", QUICK, async ({ lab, node, step }) => {
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

  await step("the doctor finds nothing", async () => {
    assert.deepEqual(await diagnosis(node), []);
  });

  await step("no ADD took long", () => {
    const slowest = Math.max(...durations);
    assert(slowest < LONGEST_ADD_MS, `the slowest took ${Math.round(slowest)} ms`);
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

scenario("100 ADD and DEL with 10 at once, while daemons die and namespaces go", {
  config: { address_rest_seconds: 1 },
}, async ({ node, step }) => {
  await node.addPod("stays");
  const before = await holdings(node);
  const numbers = new SeededRandom(200);
  const random = () => numbers.below(2 ** 20) / 2 ** 20;
  const churn = new Churn(node, random, AT_ONCE);
  churn.daemonsStable = false;

  await step(`${DISTURBED_PODS} pods come and go`, async () => {
    const goOn = () => churn.begun < DISTURBED_PODS;
    const churning = churn.run(goOn);
    for (let kills = 0; goOn(); kills++) {
      const until = performance.now() + random() * LONGEST_PAUSE_MS;
      await eventually(() => !goOn() || performance.now() >= until, { intervalMs: 5 });
      // The agent, which holds the state, dies more often, and both now and then.
      if (kills % 3 !== 2) await node.agent.kill();
      if (kills % 3 !== 0) await node.dataplane.kill();
      if (kills % 3 !== 0) await node.startDataplane();
      if (kills % 3 !== 2) await node.startAgent();
    }
    await churning;
    assert.deepEqual(churn.counts.failures, []);
    assert.equal(churn.counts.deleted, DISTURBED_PODS);
    assert(churn.counts.added > 0, "no ADD succeeded");
  });

  await step("nothing is leaked, by the inventory and by the doctor", async () => {
    await eventually(async () => {
      assert.deepEqual(await holdings(node), before);
      return true;
    }, { timeoutMs: 10_000 });
    assert.deepEqual(await diagnosis(node), []);
  });
});
