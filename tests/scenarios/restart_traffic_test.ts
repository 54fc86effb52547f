import assert from "node:assert/strict";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { BpfMap, BpfProgram } from "../../shared/ffi/bpf.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";
import { SteadyTraffic } from "./steady_traffic.ts";
import { Transfer } from "./transfer.ts";

/** What nobody notices: a lost packet costs at least 200 ms, the kernel's shortest time-out. */
const LONGEST_PAUSE_MS = 1000;

/** What the kernel holds for the node: ids change when something is made anew. */
function kernelObjects(node: LabNode): Map<string, number> {
  const ids = new Map<string, number>();
  for (const { name } of Deno.readDirSync(node.pinDir)) {
    const id = mapId(`${node.pinDir}/${name}`) ?? programId(`${node.pinDir}/${name}`);
    ids.set(name, id ?? 0);
  }
  return ids;
}

function mapId(path: string): number | undefined {
  try {
    using map = BpfMap.openPinned(path);
    return map.info().id;
  } catch {
    return undefined;
  }
}

function programId(path: string): number | undefined {
  try {
    using program = BpfProgram.openPinned(path);
    return program.info().id;
  } catch {
    return undefined;
  }
}

scenario("daemons restart under 100 connections and a stream", {}, async ({ lab, node, step }) => {
  const [web, client] = [await node.addPod("web"), await node.addPod("client")];
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const traffic = await SteadyTraffic.start(lab, node, { client, web });
  // And one that is in a hurry.
  const transfer = lab.own(await Transfer.start(client.netns, web.netns, web.ip));
  const progress = () => Promise.all([traffic.progress(), transfer.progress()]);
  const programs = async () =>
    (await dataplane.getDataplaneStatus({})).programs.map((program) =>
      `${program.interfaceName} ${program.attachType} ${program.programId}`
    ).sort();
  await progress();
  const before = { objects: kernelObjects(node), programs: await programs() };
  assert.equal(before.programs.length, 4);
  assert([...before.objects.values()].filter((id) => id > 0).length > 5);

  const restarts = [
    ["novanet-dataplane", () => node.dataplane, () => node.startDataplane()],
    ["novanet-agent", () => node.agent, () => node.startAgent()],
  ] as const;
  for (const [name, running, start] of restarts) {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await step(`${name} after ${signal}`, async () => {
        running().signal(signal);
        await running().wait();
        await progress();
        assert.equal(await ping(client.netns, web.ip), 63, "new flows begin while it is away");
        await start();
        await progress();
        assert.deepEqual(
          await programs(),
          before.programs,
          "the same programs, attached as before",
        );
        assert.deepEqual(kernelObjects(node), before.objects, "the same maps, programs and links");
      });
    }
  }

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    await step(`both at once after ${signal}, and the agent starts first`, async () => {
      for (const daemon of node.daemons) daemon.signal(signal);
      for (const daemon of node.daemons) await daemon.wait();
      await progress();
      const agent = node.startAgent();
      await node.startDataplane();
      await agent;
      await progress();
      assert.deepEqual(await programs(), before.programs);
      assert.deepEqual(kernelObjects(node), before.objects);
    });
  }

  await step("a dataplane that is killed while it starts", async () => {
    for (let round = 0; round < 5; round++) {
      await node.dataplane.kill();
      const starting = node.spawnDataplane();
      // A start takes about half a second; each round ends it somewhere else.
      await eventually(() => starting.runningMs > 60 * (round + 1));
      await starting.kill();
    }
    await node.startDataplane();
    await progress();
    assert.deepEqual(await programs(), before.programs);
  });

  await step("nothing was lost, sent again, reset or dropped, and none had to wait", async () => {
    await transfer.end();
    await traffic.endWhole();
    const pauses = [transfer, traffic].map(({ longestPauseMs }) => Math.round(longestPauseMs));
    assert(Math.max(...pauses) < LONGEST_PAUSE_MS, `pauses of ${pauses.join(", ")} ms`);
  });

  await step("the counters go on where they were", async () => {
    const { conntrackCount, endpointCount } = await dataplane.getDataplaneStatus({});
    assert(conntrackCount > traffic.connections, `${conntrackCount} connections`);
    assert.equal(endpointCount, 3, "two pods and the node");
  });
});
