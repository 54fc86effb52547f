import assert from "node:assert/strict";
import { ConfigKey, DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { tcp } from "../../shared/testing/packets.ts";
import { sendPacket, TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";
import { FlowLog } from "./flow_log.ts";
import { scenario } from "./scenario.ts";

const CONNTRACK_MAX = 1024;
const options = { dataplaneFlags: [`--conntrack-max=${CONNTRACK_MAX}`] };

scenario("a table of connections that is full", options, async ({ lab, node, step }) => {
  const [web, client, flooder] = [
    await node.addPod("web"),
    await node.addPod("client"),
    await node.addPod("flooder"),
  ];
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const refused = async () =>
    Number((await dataplane.getDataplaneStatus({})).dropCounters[DropReason.CONNTRACK_FULL] ?? 0n);
  const server = lab.own(new TcpEchoServer(web.netns));
  const to = { ip: web.ip, port: server.port };
  const living = lab.own(await TcpClient.connect(client.netns, to));
  assert.equal(await living.exchange("before"), "before");
  let srcPort = 1024;
  const halfOpen = () =>
    sendPacket(
      flooder.netns,
      { src: flooder.ip, dst: web.ip },
      // The flooder's kernel resets what is answered; what is closed stays in the table for a while as well.
      tcp({ srcPort: ++srcPort, dstPort: to.port, flags: "S" }),
    );
  const flows = lab.own(await FlowLog.open(node, halfOpen));

  await step("refuses new flows, with an event and a reason", async () => {
    for (let count = 0; count < 2 * CONNTRACK_MAX; count++) halfOpen();
    assert(await refused() > 0);
    await eventually(() =>
      flows.events.some(({ dropReason }) => dropReason === DropReason.CONNTRACK_FULL)
    );
    await assert.rejects(TcpClient.connect(client.netns, to, { timeoutMs: 300 }));
  });

  await step("keeps the living ones", async () => {
    assert.equal(await living.exchange("during the flood"), "during the flood");
  });

  await step("says so in status and metrics", async () => {
    const { conntrackCount, conntrackMax, mapUsage } = await dataplane.getDataplaneStatus({});
    assert(conntrackMax >= CONNTRACK_MAX && conntrackCount >= conntrackMax * 0.9);
    const usage = mapUsage.find(({ name }) => name === "CONNTRACK");
    assert.deepEqual([usage?.entries, usage?.maxEntries], [
      BigInt(conntrackCount),
      BigInt(conntrackMax),
    ]);
    const { stdout } = await node.netns.run(["curl", "-sS", "http://127.0.0.1:9103/metrics"]);
    assert.match(stdout, /^novanet_drops_total\{reason="CONNTRACK_FULL"\} [1-9]/m);
    assert.match(await node.ctl("status"), /CONNTRACK/i);
  });

  await step("opens again when the half-open ones have timed out", async () => {
    await dataplane.updateConfig({
      entries: { [ConfigKey.CT_TIMEOUT_TCP_SYN_S]: 1n, [ConfigKey.CT_TIMEOUT_TCP_CLOSING_S]: 1n },
    });
    await eventually(async () => {
      using again = await TcpClient.connect(client.netns, to, { timeoutMs: 300 });
      return await again.exchange("again") === "again";
    }, { timeoutMs: 15_000 });
    assert.equal(await living.exchange("after"), "after");
  });
});
