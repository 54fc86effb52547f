/** Each row of the attack table, sent by a packet socket in a real pod to the compiled daemons. */
import assert from "node:assert/strict";
import {
  AgentControl,
  ConfigKey,
  DataplaneControl,
  DropReason,
  FlowEventType,
  PolicyDirection,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { Mac } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { udp, viewOf } from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { FlowLog } from "../scenarios/flow_log.ts";
import { scenario } from "../scenarios/scenario.ts";
import {
  type Attack,
  ATTACKER,
  ATTACKS,
  frame,
  NODE_MAC,
  OUTSIDE,
  OUTSIDE_MAC,
  VICTIM,
} from "./table.ts";

const MARKER_PORT = 7777;

/** The datagram that shows that everything sent before it has been dealt with. */
const marker = (dst: string) =>
  frame({ dst }, {}, udp({ srcPort: MARKER_PORT, dstPort: MARKER_PORT }, "marker"));

function isMarker(bytes: Uint8Array): boolean {
  return bytes.length === 14 + 20 + 8 + 6 && viewOf(bytes).getUint16(36) === MARKER_PORT;
}

/** What follows the MAC addresses and does not change on the way: all but TTL and header checksum, and IP options. */
function essence(bytes: Uint8Array): string {
  const headerBytes = (bytes[14]! & 0xf) * 4;
  const total = viewOf(bytes).getUint16(16);
  return bytes.subarray(14, 22).toHex() + bytes.subarray(14 + headerBytes, 14 + total).toHex();
}

scenario("what may not be sent, from a pod and to one", {}, async ({ lab, node, step }) => {
  const victim = await node.addPod("victim");
  const attacker = await node.addPod("attacker", { labels: { role: "attacker" } });
  assert.deepEqual([victim.ip, attacker.ip], [VICTIM, ATTACKER]);
  // What reaches it is only looked at: no answers among the packets outside.
  await victim.netns.run(["ip", "route", "add", "blackhole", OUTSIDE]);
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 100n } });
  const { pods } = await node.client(AgentExt, "cni.sock").listPods({});
  const identityOf = (pod: string) => pods.find(({ name }) => name === pod)?.identityId;
  assert.notEqual(identityOf("attacker"), identityOf("victim"));
  const link = lab.own(new RawLink(attacker.netns, "eth0"));
  const atVictim = lab.own(new RawLink(victim.netns, "eth0"));
  await node.netns.run(["ip", "link", "set", "uplink", "address", NODE_MAC]);
  await node.outside.run(["ip", "link", "set", "node", "address", OUTSIDE_MAC]);
  // What the node's own stack says at times is no attack: ARP, and IPv6 to its neighbours from its own MAC.
  const notOwn = (bytes: Uint8Array) => {
    const fromUplink = Mac.fromBytes(bytes.subarray(6, 12)).equals(Mac.parse(NODE_MAC));
    return viewOf(bytes).getUint16(12) !== 0x0806 &&
      !(fromUplink && viewOf(bytes).getUint16(0) === 0x3333);
  };
  const atOutside = lab.own(new RawLink(node.outside, "node", notOwn));
  const counters = async () => (await dataplane.getDataplaneStatus({})).dropCounters;
  let port = 30_000;
  const flows = lab.own(
    await FlowLog.open(node, () => link.send(frame({}, {}, udp({ srcPort: port++, dstPort: 9 })))),
  );
  await eventually(() => atVictim.take().length > 0);
  const atStart = await counters();

  const sender = ({ from }: Attack) => from === "outside" ? atOutside : link;
  const delivered = async (frames: readonly Uint8Array[], by: RawLink) => {
    for (const bytes of frames) {
      by.send(bytes);
      assert.equal(essence(await atVictim.next()), essence(bytes));
    }
  };
  const dropped = async (attack: Attack) => {
    const { frames, reason } = attack;
    const before = await counters();
    for (const bytes of frames) sender(attack).send(bytes);
    link.send(marker(VICTIM));
    link.send(marker(OUTSIDE));
    await atVictim.expectNothingBefore(isMarker);
    await atOutside.expectNothingBefore(isMarker);
    const counted = Object.entries(await counters())
      .map(([number, count]) => [number, count - (before[Number(number)] ?? 0n)] as const)
      .filter(([, count]) => count > 0n)
      .map(([number, count]) => `${count} ${DropReason[Number(number)]}`);
    assert.deepEqual(counted, [`${frames.length} ${reason}`]);
  };

  for (const attack of ATTACKS) {
    await step(`${attack.topic}: ${attack.name}: dropped as ${attack.reason}`, async () => {
      await delivered(attack.opening ?? [], link);
      await dropped(attack);
    });
    const { twin } = attack;
    if (twin) await step(`passes: ${twin.name}`, () => delivered(twin.frames, sender(attack)));
  }

  await step("every drop is in a flow event, under the identity of its pod", async () => {
    const expected = new Map<string, number>();
    for (const [number, count] of Object.entries(await counters())) {
      const fresh = Number(count - (atStart[Number(number)] ?? 0n));
      if (fresh > 0) expected.set(DropReason[Number(number)] ?? number, fresh);
    }
    assert.deepEqual(new Set(expected.keys()), new Set(ATTACKS.map(({ reason }) => reason)));
    await eventually(() => {
      const seen = new Map<string, number>();
      for (const event of flows.events) {
        if (event.eventType !== FlowEventType.DROP) continue;
        if (event.direction === PolicyDirection.EGRESS) {
          assert.equal(event.srcIdentity, identityOf("attacker"));
        } else assert.equal(event.dstIdentity, identityOf("victim"));
        const name = DropReason[event.dropReason] ?? "";
        seen.set(name, (seen.get(name) ?? 0) + Number(event.packets));
      }
      assert.deepEqual(Object.fromEntries(seen), Object.fromEntries(expected));
      return true;
    }, { timeoutMs: 30_000, what: "all drops in flow events" });
  });

  await step("the counters have names in metrics and novanetctl", async () => {
    const { stdout } = await node.netns.run(["curl", "-sS", "http://127.0.0.1:9103/metrics"]);
    const shown = await node.ctl("metrics");
    for (const reason of new Set(ATTACKS.map(({ reason }) => reason))) {
      assert.match(stdout, new RegExp(`^novanet_drops_total\\{reason="${reason}"\\} [1-9]`, "m"));
      assert.match(shown, new RegExp(reason));
    }
  });

  await step("the agent is well", async () => {
    const { ready } = await node.client(AgentControl, "novanet.sock").getAgentStatus({});
    assert(ready);
  });
});
