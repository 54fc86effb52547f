import assert from "node:assert/strict";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { BpfMap, BpfProgram } from "../../shared/ffi/bpf.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode, LabPod } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";
import { GUARD_POLICY, SteadyTraffic } from "./steady_traffic.ts";
import { Transfer } from "./transfer.ts";
import { UdpStream } from "./udp_stream.ts";

/** As `novanet-cni install` writes the configuration. */
const QUICK = { cniConfig: { quickAttach: true } };
const DENIED_PER_SECOND = 1_000;
const NEW_FLOW_MS = 2;
/** Far fewer than come in the seconds that the restarts take. */
const LEAST_NEW_FLOWS = 200;

/** What nobody notices: a lost packet costs at least 200 ms, the kernel's shortest time-out. */
const LONGEST_PAUSE_MS = 1000;

const isLink = ({ name }: Deno.DirEntry) => name.startsWith("link_");

/** What the kernel holds for the node: ids change when something is made anew. */
function kernelObjects(node: LabNode): Map<string, number> {
  const ids = new Map<string, number>();
  for (const { name } of Deno.readDirSync(node.pinDir)) {
    const id = mapId(`${node.pinDir}/${name}`) ?? programId(`${node.pinDir}/${name}`);
    ids.set(name, id ?? 0);
  }
  return ids;
}

/** Begins flow after flow: a policy that is not whole for a moment refuses one. */
class NewFlows implements AsyncDisposable {
  readonly #run: Promise<void>;
  #count = 0;
  #ending = false;

  constructor(from: LabPod, ip: string) {
    this.#run = this.#beginAll(from, ip);
    this.#run.catch(() => {});
  }

  /** Begins no more. @returns how many there were @throws {EventuallyError} when one was not answered */
  async end(): Promise<number> {
    this.#ending = true;
    await this.#run;
    return this.#count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
  }

  async #beginAll(from: LabPod, ip: string): Promise<void> {
    for (; !this.#ending; this.#count++) {
      await ping(from.netns, ip);
      // An answer that is there at once would leave no time for anybody else.
      await new Promise((resolve) => setTimeout(resolve, NEW_FLOW_MS));
    }
  }
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

scenario("daemons restart under 100 connections and a stream", QUICK, async (scene) => {
  const { lab, node, step } = scene;
  const pod = (app: string) => node.addPod(app, { labels: { app } });
  const [web, client, stranger] = [await pod("web"), await pod("client"), await pod("stranger")];
  await node.writeManifest("policy.yaml", GUARD_POLICY);
  await node.untilRules((rules) => rules.includes("default/guard:egress[default-deny]"));
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const programs = async () =>
    (await dataplane.getDataplaneStatus({})).programs.map((program) =>
      `${program.interfaceName} ${program.attachType} ${program.programId}`
    ).sort();
  // Filters at first: the programs move to TCX behind the ADD's back.
  await eventually(() => {
    assert.equal([...Deno.readDirSync(node.pinDir)].filter(isLink).length, 6);
    return true;
  });
  const traffic = await SteadyTraffic.start(lab, node, {
    client,
    web,
    foreignDrops: DropReason.POLICY_DENIED,
  });
  const denied = lab.own(new UdpStream(stranger.netns, web.netns, web.ip, DENIED_PER_SECOND));
  const fresh = lab.own(new NewFlows(client, web.ip));
  // And one that is in a hurry.
  const transfer = lab.own(await Transfer.start(client.netns, web.netns, web.ip));
  const progress = () => Promise.all([traffic.progress(), transfer.progress()]);
  await progress();
  const before = { objects: kernelObjects(node), programs: await programs() };
  assert.equal(before.programs.length, 6);
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
    const count = await fresh.end();
    assert(count > LEAST_NEW_FLOWS, `${count} new flows`);
    await traffic.endWhole();
    const pauses = [transfer, traffic].map(({ longestPauseMs }) => Math.round(longestPauseMs));
    assert(Math.max(...pauses) < LONGEST_PAUSE_MS, `pauses of ${pauses.join(", ")} ms`);
  });

  await step("nothing was let through", async () => {
    assert(denied.sent > 2 * DENIED_PER_SECOND, `${denied.sent} datagrams of the stranger`);
    assert.equal(await denied.end(), denied.sent, "no datagram of the stranger");
    const { dropCounters } = await dataplane.getDataplaneStatus({});
    assert.equal(Number(dropCounters[DropReason.POLICY_DENIED]), denied.sent, "and nothing else");
  });

  await step("the counters go on where they were", async () => {
    const { conntrackCount, endpointCount } = await dataplane.getDataplaneStatus({});
    assert(conntrackCount > traffic.connections, `${conntrackCount} connections`);
    assert.equal(endpointCount, 4, "three pods and the node");
  });
});
