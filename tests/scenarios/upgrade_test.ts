import assert from "node:assert/strict";
import { BpfMap } from "../../shared/ffi/bpf.ts";
import { Layout } from "../../shared/gen/abi.ts";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode, LabPod } from "../../shared/testing/node.ts";
import { udp } from "../../shared/testing/packets.ts";
import { PacketReceiver, PacketSender, UdpSocket } from "../../shared/testing/sockets.ts";
import { buildNextDataplane } from "./next_layout.ts";
import { scenario } from "./scenario.ts";
import { GUARD_POLICY, SteadyTraffic } from "./steady_traffic.ts";
import { UdpStream } from "./udp_stream.ts";

const FLOWS = 10_000;
const FIRST_PORT = 20_000;
const SERVER_PORT = 5300;
const NEWER_MAPS = 4;

/**
 * Where a dataplane that migrates is killed, as strace counts its system calls, each time beginning with what the one
 * before left: before it pinned anything, while it makes and fills maps, while it copies connections, at the seal, while
 * it brings over what the old programs did since, while old maps are removed, at the end.
 */
const KILLS: readonly (readonly [calls: string, when: number])[] = [
  ["bpf", 40],
  ["bpf", 120],
  ["bpf", 5_000],
  ["mkdir", 1],
  ["bpf", 15_000],
  ["unlink,unlinkat", 4],
  ["rmdir", 1],
];

function pins(node: LabNode): Map<string, number> {
  const ids = new Map<string, number>();
  for (const { name } of Deno.readDirSync(node.pinDir)) ids.set(name, mapId(node, name) ?? 0);
  return ids;
}

function mapId(node: LabNode, name: string): number | undefined {
  if (!/_v\d+$/.test(name) || name.startsWith("sealed")) return undefined;
  using map = BpfMap.openPinned(`${node.pinDir}/${name}`);
  return map.info().id;
}

/** Sends one datagram in each of the flows, from client to web or back, and counts those that arrive. */
async function sendAll(from: LabPod, to: LabPod, isAnswer: boolean): Promise<number> {
  using sender = new PacketSender(from.netns, IpProtocol.UDP, from.ip);
  using receiver = new PacketReceiver(to.netns, IpProtocol.UDP);
  const seen = new Set<number>();
  const take = () => {
    for (const { src, payload } of receiver.take()) {
      const view = new DataView(payload.buffer, payload.byteOffset);
      const [srcPort, dstPort] = [view.getUint16(0), view.getUint16(2)];
      if (src === from.ip && (isAnswer ? srcPort : dstPort) === SERVER_PORT) {
        seen.add(isAnswer ? dstPort : srcPort);
      }
    }
  };
  for (let i = 0; i < FLOWS; i++) {
    const port = FIRST_PORT + i;
    const ports = isAnswer
      ? { srcPort: SERVER_PORT, dstPort: port }
      : { srcPort: port, dstPort: SERVER_PORT };
    sender.send(to.ip, udp(ports));
    if (i % 100 === 0) take();
  }
  await eventually(() => {
    take();
    return seen.size === FLOWS;
  }, { timeoutMs: 2000 }).catch(() => {});
  return seen.size;
}

scenario(
  "a new layout takes over what lives",
  { dataplaneFlags: ["--conntrack-max=65536"] },
  async ({ lab, node, step }) => {
    const next = await buildNextDataplane(lab);
    const pod = (app: string) => node.addPod(app, { labels: { app } });
    const [web, client, stranger] = [await pod("web"), await pod("client"), await pod("stranger")];
    await node.writeManifest("policy.yaml", GUARD_POLICY);
    await node.untilRules((rules) => rules.includes("default/guard:egress[default-deny]"));
    const traffic = await SteadyTraffic.start(lab, node, {
      client,
      web,
      foreignDrops: DropReason.POLICY_DENIED,
    });
    using _swallows = new UdpSocket(web.netns, {
      port: SERVER_PORT,
      bufferBytes: 2 ** 25,
    });
    const denied = lab.own(new UdpStream(stranger.netns, web.netns, web.ip, 1_000));
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const before = pins(node);

    await step("10,000 connections that only their entries vouch for", async () => {
      assert.equal(await sendAll(client, web, false), FLOWS);
      assert.equal(await sendAll(web, client, true), FLOWS);
    });

    const phases = new Set<string>();
    for (const [calls, when] of KILLS) {
      await step(`killed at ${calls} number ${when}, all goes on`, async () => {
        await node.dataplane.kill();
        const trace = ["strace", "-f", "-qq", "-o", "/dev/null"];
        const inject = ["-e", `trace=${calls}`, "-e", `inject=${calls}:signal=KILL:when=${when}+`];
        const killed = node.spawnDataplane(...trace, ...inject, next.path);
        await eventually(() => killed.exited || killed.stderr.includes("dataplane: serving"), {
          timeoutMs: 20_000,
        });
        assert(killed.exited && !killed.stderr.includes("failed"), killed.stderr);
        phases.add(phaseOf(node, next.version));
        await traffic.progress();
      });
    }

    await step("a start that is let through finishes it", async () => {
      await node.startDataplane(next.path);
      const after = [...pins(node).keys()];
      assert.deepEqual(
        after.filter((name) => /^[A-Z]/.test(name)).sort(),
        [...before.keys()].filter((name) => /^[A-Z]/.test(name))
          .map((name) => name.replace(/\d+$/, `${next.version}`)).sort(),
      );
      assert.deepEqual(after.filter((name) => name.startsWith("sealed")), []);
      assert.deepEqual(
        ["begun", "sealed", "removing"].filter((phase) => !phases.has(phase)),
        [],
        "kills hit every phase",
      );
      await traffic.progress();
    });

    await step("the 10,000 go on, and nothing new may begin", async () => {
      assert.equal(await sendAll(web, client, true), FLOWS);
      const stream = lab.own(new UdpStream(web.netns, client.netns, client.ip, 1_000));
      await eventually(() => stream.sent > 100);
      assert.equal(await stream.end(), stream.sent, "web begins nothing");
      const { conntrackCount } = await dataplane.getDataplaneStatus({});
      assert(conntrackCount >= FLOWS + traffic.connections, `${conntrackCount} connections`);
    });

    await step("the old dataplane refuses the new maps and changes nothing", async () => {
      await node.dataplane.kill();
      const found = pins(node);
      const { code, stderr } = await node.netns.try(
        [node.executable("novanet-dataplane"), ...node.dataplaneFlags],
        { timeoutMs: 20_000 },
      );
      assert.equal(code, NEWER_MAPS, stderr);
      for (
        const part of [
          node.pinDir,
          `layout version ${next.version}`,
          `up to ${Layout.LAYOUT_VERSION}`,
          "--cleanup",
        ]
      ) {
        assert(stderr.includes(part), `${part} in ${stderr}`);
      }
      assert.deepEqual(pins(node), found);
      await traffic.progress();
      await node.startDataplane(next.path);
      assert.deepEqual(pins(node), found);
    });

    await step("nothing was lost, sent again, reset or let through", async () => {
      await traffic.endWhole();
      assert.equal(await denied.end(), denied.sent, "no datagram of the stranger");
    });
  },
);

/** How far a migration came that was killed. */
function phaseOf(node: LabNode, version: number): string {
  const names = [...pins(node).keys()].filter((name) => /^[A-Z]/.test(name));
  const isSealed = [...Deno.readDirSync(node.pinDir)].some(({ name }) => name.startsWith("sealed"));
  const older = names.filter((name) => !name.endsWith(`_v${version}`)).length;
  const newer = names.length - older;
  if (!isSealed) return newer > 0 ? "begun" : "untouched";
  return older < newer ? "removing" : "sealed";
}
