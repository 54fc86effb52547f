/**
 * A table that is full refuses what is new, says so, and leaves alone what is there: policies, endpoints, fragments.
 * tests/scenarios/limits_test.ts does the same with connections.
 */
import assert from "node:assert/strict";
import {
  AgentControl,
  ConfigKey,
  DataplaneControl,
  DropReason,
  FlowEventType,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { udp } from "../../shared/testing/packets.ts";
import type { LabPod } from "../../shared/testing/node.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { sendPacket, TcpClient, TcpEchoServer, UdpSocket } from "../../shared/testing/sockets.ts";
import { FlowLog } from "../scenarios/flow_log.ts";
import { scenario } from "../scenarios/scenario.ts";
import { firstFragment } from "./table.ts";

const MAX = { fragment: 64, endpoint: 64, policy: 256 };
const options = {
  dataplaneFlags: Object.entries(MAX).map(([table, entries]) => `--${table}-max=${entries}`),
};
const LARGE_DATAGRAM = Uint8Array.from({ length: 8192 }, (_, index) => index);

/** More ports than the table has entries; none of them follows another one. */
const policy = (ports: number) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: large, namespace: default }
spec:
  podSelector: { matchLabels: { app: other } }
  policyTypes: [Ingress]
  ingress:
    - ports: [${Array.from({ length: ports }, (_, at) => `{ port: ${1001 + 2 * at} }`).join()}]
`;

scenario("tables that are full", options, async ({ lab, node, step }) => {
  const web = await node.addPod("web", { labels: { app: "web" } });
  const client = await node.addPod("client", { labels: { app: "client" } });
  const other = await node.addPod("other", { labels: { app: "other" } });
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const agent = node.client(AgentControl, "novanet.sock");
  await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 100n } });
  const metrics = async () =>
    (await node.netns.run(["curl", "-sS", "http://127.0.0.1:9103/metrics"])).stdout;
  const warnings = async () => (await agent.getAgentStatus({})).warnings.join();
  const drops = async (reason: DropReason) =>
    Number((await dataplane.getDataplaneStatus({})).dropCounters[reason] ?? 0n);
  const server = lab.own(new TcpEchoServer(web.netns));
  const living = lab.own(await TcpClient.connect(client.netns, { ip: web.ip, port: server.port }));
  const goesOn = async (when: string) => assert.equal(await living.exchange(when), when);
  await goesOn("before");
  let srcPort = 20_000;
  const flows = lab.own(
    await FlowLog.open(node, () => {
      sendPacket(
        client.netns,
        { src: client.ip, dst: web.ip },
        udp({ srcPort: ++srcPort, dstPort: 9 }),
      );
    }),
  );

  await step(
    "policies: the pods that the new rules are for are closed; others notice nothing",
    async () => {
      await using reached = new TcpEchoServer(other.netns, 1001);
      const to = { ip: other.ip, port: reached.port };
      using before = await TcpClient.connect(client.netns, to);
      assert.equal(await before.exchange("open"), "open");
      await node.writeManifest("large.yaml", policy(MAX.policy + 1));
      await eventually(async () => /POLICIES is full.*default\/other/.test(await warnings()));
      // Not even what the rules would allow: they are not in force.
      await assert.rejects(TcpClient.connect(client.netns, to, { timeoutMs: 300 }));
      const drop = await eventually(() =>
        flows.events.find((event) =>
          event.eventType === FlowEventType.DROP && event.dstIp === Ipv4.parse(other.ip).value
        )
      );
      assert.equal(drop.rule, "default/large:ingress[default-deny]");
      await goesOn("policies are full");
      assert.match(await metrics(), /^novanet_agent_closed_identities 1$/m);
    },
  );

  await step("policies: no pod is added meanwhile, and the error says why", async () => {
    await assert.rejects(node.addPod("late"), /"code":101.*POLICIES is full/);
  });

  await step("policies: a set that fits takes force as a whole", async () => {
    await node.writeManifest("large.yaml", policy(10));
    await eventually(async () => await warnings() === "");
    await using reached = new TcpEchoServer(other.netns, 1003);
    using again = await TcpClient.connect(client.netns, { ip: other.ip, port: reached.port });
    assert.equal(await again.exchange("again"), "again");
    await goesOn("policies fit");
  });

  await step("endpoints: a pod that does not fit is refused whole", async () => {
    const elsewhere = (host: number) => Ipv4.parse(`10.245.0.${host}`).value;
    const mac = Mac.parse("02:00:00:00:00:01").bytes;
    const fill = async () => {
      for (let host = 1; host <= MAX.endpoint; host++) {
        await dataplane.upsertEndpoint({ ip: elsewhere(host), mac, identityId: 300 });
      }
    };
    await assert.rejects(fill(), (error) => {
      return error instanceof RpcError && error.code === RpcCode.RESOURCE_EXHAUSTED;
    });
    await assert.rejects(node.addPod("late"), /"code":101.*ENDPOINTS is full/);
    assert.match(
      await metrics(),
      new RegExp(`^novanet_map_entries{map="ENDPOINTS"} ${MAX.endpoint}`, "m"),
    );
    await goesOn("endpoints are full");
    for (let host = 1; host <= MAX.endpoint; host++) {
      await dataplane.deleteEndpoint({ ip: elsewhere(host) });
    }
    await node.addPod("late");
  });

  await step(
    "fragments: a pod that has its share is refused more, with event and metric",
    async () => {
      using link = new RawLink(client.netns, "eth0");
      for (let id = 1; id <= 2 * MAX.fragment; id++) {
        link.send(firstFragment(client.ip, web.ip, id));
      }
      assert(await drops(DropReason.FRAGMENT_TABLE_FULL) > MAX.fragment);
      await eventually(() =>
        flows.events.some(({ dropReason }) => dropReason === DropReason.FRAGMENT_TABLE_FULL)
      );
      assert.match(await metrics(), /^novanet_drops_total\{reason="FRAGMENT_TABLE_FULL"\} [1-9]/m);
      await goesOn("fragments are full");
    },
  );

  await step(
    "fragments: other pods still have theirs, and the first its own again in time",
    async () => {
      using there = new UdpSocket(web.netns, { ip: web.ip });
      const arrives = (from: LabPod) => {
        using here = new UdpSocket(from.netns, { ip: from.ip });
        here.send(there.address, LARGE_DATAGRAM);
        return there.take().some(({ data }) => data.length === LARGE_DATAGRAM.length);
      };
      assert(arrives(other), "another pod's datagram arrives");
      assert(!arrives(client), "the flooder's does not");
      await dataplane.updateConfig({ entries: { [ConfigKey.FRAGMENT_TIMEOUT_S]: 1n } });
      await eventually(() => arrives(client), {
        timeoutMs: 15_000,
        intervalMs: 100,
        what: "a datagram in fragments once the others have timed out",
      });
    },
  );
});
