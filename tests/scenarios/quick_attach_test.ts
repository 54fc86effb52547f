import assert from "node:assert/strict";
import { tcxSupported } from "../../shared/ffi/bpf.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { hostIfName, type LabNode, type LabPod } from "../../shared/testing/node.ts";
import { type SocketAddress, UdpSocket } from "../../shared/testing/sockets.ts";
import { assertConsistent, holdings } from "./holdings.ts";
import { AT_FIRST, hooksOf, IN_THE_END } from "./hooks.ts";
import { scenario } from "./scenario.ts";

const PORT = 7000;
/** Three fragments: a first fragment that meets the program twice overlaps itself and drops. */
const DATAGRAM_BYTES = 4000;
const BUFFER_BYTES = 64 << 20;

const hooks = (node: LabNode, pod: LabPod) => hooksOf(node, hostIfName(pod));

/** Sends datagrams through both hooks of a pod, to the outside and from there. */
class BothWays implements Disposable {
  readonly #ends: readonly [UdpSocket, UdpSocket];
  readonly #targets: readonly [SocketAddress, SocketAddress];
  #sent = 0;

  constructor(node: LabNode, pod: LabPod) {
    const socket = (end: LabNode["outside"]) =>
      new UdpSocket(end, { port: PORT, bufferBytes: BUFFER_BYTES });
    this.#ends = [socket(pod.netns), socket(node.outside)];
    this.#targets = [
      { ip: node.addresses.outside, port: PORT },
      { ip: pod.ip, port: PORT },
    ];
  }

  send(): void {
    for (const [index, end] of this.#ends.entries()) {
      end.send(this.#targets[index] ?? assert.fail(), new Uint8Array(DATAGRAM_BYTES));
    }
    this.#sent++;
  }

  /** Waits until both ends have got as many datagrams as were sent. */
  async assertAllArrived(): Promise<void> {
    const got = [0, 0];
    await eventually(() => {
      for (const [index, end] of this.#ends.entries()) {
        got[index] = (got[index] ?? 0) + end.take().length;
      }
      assert.deepEqual(got, [this.#sent, this.#sent]);
      return true;
    });
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends) end.close();
  }
}

scenario(
  "programs come by filters and move to TCX",
  // Whether a packet meets its program once is what is looked at, not how fast it is.
  { cniConfig: { quickAttach: true } },
  async ({ node, step }) => {
    if (!tcxSupported()) return;

    await step("nothing is lost or seen twice while they move", async () => {
      const pod = await node.addPod("web");
      using traffic = new BothWays(node, pod);
      traffic.send();
      assert.deepEqual(hooks(node, pod), AT_FIRST);
      await eventually(() => {
        traffic.send();
        const now = hooks(node, pod);
        assert.deepEqual(now, IN_THE_END);
        return true;
      }, { intervalMs: 1, timeoutMs: 20_000 });
      traffic.send();
      await traffic.assertAllArrived();
      await assertConsistent(node);
      await node.delPod(pod);
    });

    await step("a pod that goes before leaves nothing", async () => {
      const before = await eventually(() => settled(node));
      const pod = await node.addPod("short");
      assert.deepEqual(hooks(node, pod), AT_FIRST);
      assert.equal((await node.delPod(pod)).code, 0);
      await eventually(async () => {
        assert.deepEqual(await held(node), before);
        return true;
      });
    });

    await step("a dataplane that is killed before finds the filters, and moves them", async () => {
      const pod = await node.addPod("left");
      using traffic = new BothWays(node, pod);
      assert.deepEqual(hooks(node, pod), AT_FIRST);
      await node.dataplane.kill();
      traffic.send();
      await node.startDataplane();
      await eventually(() => {
        traffic.send();
        assert.deepEqual(hooks(node, pod), IN_THE_END);
        return true;
      }, { intervalMs: 1, timeoutMs: 20_000 });
      await traffic.assertAllArrived();
      await eventually(() => assertConsistent(node).then(() => true));
      await node.delPod(pod);
    });

    await step("--cleanup takes filters off too", async () => {
      const pod = await node.addPod("last");
      assert.deepEqual(hooks(node, pod), AT_FIRST);
      await node.dataplane.kill();
      await node.netns.run([
        node.executable("novanet-dataplane"),
        "--cleanup",
        "--pods=unfiltered",
        `--socket=${node.socket("dataplane.sock")}`,
        `--pin-dir=${node.pinDir}`,
      ]);
      assert.deepEqual(hooks(node, pod), { filters: [0, 0], tcx: [0, 0] });
      await node.startDataplane();
      await eventually(() => {
        assert.deepEqual(hooks(node, pod), IN_THE_END);
        return true;
      }, { timeoutMs: 20_000 });
      await node.delPod(pod);
    });
  },
);

/** What the node holds, short of connections, which end when it is time. */
async function held(node: LabNode) {
  const { connections: _, ...rest } = await holdings(node);
  return rest;
}

/** What the node holds, once it holds no pod. */
async function settled(node: LabNode) {
  const now = await held(node);
  return now.programs.length === 0 && !now.pins.some((pin) => pin.startsWith("link_")) && now;
}
