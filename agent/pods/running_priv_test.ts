import assert from "node:assert/strict";
import { eventually } from "../../shared/testing/eventually.ts";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { UdpSocket } from "../../shared/testing/sockets.ts";
import { AgentLab, NODE_IP, podRequest } from "../testing/agent_lab.ts";
import { untilRunning } from "./running.ts";

const PODS = 15;
const PORT = 5000;

Deno.test("what is sent at once after an ADD arrives, in both directions", async () => {
  await using lab = await AgentLab.start();
  for (let i = 0; i < PODS; i++) {
    const netns = await lab.lab.addNetns();
    using host = new UdpSocket(lab.host, { port: PORT });
    using pod = new UdpSocket(netns, { port: PORT });
    const { ip } = await lab.control.addPod(podRequest(`pod${i}`, netns.path));
    host.send({ ip, port: PORT }, "from the host");
    pod.send({ ip: NODE_IP, port: PORT }, "from the pod");
    const arrives = (socket: UdpSocket) =>
      eventually(() => socket.take()[0], { timeoutMs: 500, what: `the datagram of pod ${i}` });
    await arrives(pod);
    await arrives(host);
  }
});

Deno.test("an end that does not come up is named when the time is over", async () => {
  await using lab = new NetnsLab();
  const [left, right] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: left, name: "one" }, { netns: right, name: "other" });
  using near = left.rtnetlink();
  using far = right.rtnetlink();
  const ends = [{ socket: near, link: "one" }, { socket: far, link: "other" }];
  assert.deepEqual(await untilRunning(ends, 2000), []);
  far.linkSet(far.linkGet("other").index, { up: false });
  assert.deepEqual(await untilRunning(ends, 5), ["one", "other"]);
});
