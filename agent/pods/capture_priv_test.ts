import assert from "node:assert/strict";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { ethernet, rawNetwork } from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { capturePackets, type PodFrame } from "./capture.ts";
import { untilRunning } from "./running.ts";

const ETHERTYPE_TEST = 0x88b5; // IEEE 802: for local experiments
const FRAME = ethernet(
  { src: "02:00:00:00:00:01", dst: "ff:ff:ff:ff:ff:ff", vlans: [{ id: 42 }] },
  rawNetwork(ETHERTYPE_TEST, new Uint8Array(100)),
);

/** The next frame of the test's own; the kernel's own chatter is left out. */
async function nextTestFrame(frames: AsyncGenerator<PodFrame>): Promise<PodFrame> {
  for (;;) {
    const { value, done } = await frames.next();
    if (done === true) throw new Error("the capture ended");
    if (new DataView(value.data.slice().buffer).getUint16(16) === ETHERTYPE_TEST) return value;
  }
}

Deno.test("frames have the kernel's time and their VLAN tag, and an abort ends an idle capture", async () => {
  await using lab = new NetnsLab();
  const [host, pod] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: host, name: "host" }, { netns: pod, name: "eth0" });
  using near = host.rtnetlink();
  using far = pod.rtnetlink();
  await untilRunning([{ socket: near, link: "host" }, { socket: far, link: "eth0" }], 2000);
  using link = new RawLink(host, "host");
  const stop = new AbortController();
  const lost: number[] = [];
  const frames = capturePackets({
    netns: pod.path,
    ifName: "eth0",
    snaplen: 60,
    maxPackets: 0n,
    signal: stop.signal,
    onLost: (packets) => lost.push(packets),
  });
  const next = nextTestFrame(frames);
  const before = BigInt(Date.now()) * 1_000_000n;
  link.send(FRAME);
  const frame = await next;
  const after = BigInt(Date.now() + 1) * 1_000_000n;
  assert.ok(before <= frame.timestampNs && frame.timestampNs <= after);
  assert.deepEqual([frame.originalLen, frame.data.length], [FRAME.length, 60]);
  assert.deepEqual([...frame.data.subarray(12, 18)], [...FRAME.subarray(12, 18)]);
  const idle = frames.next();
  stop.abort();
  while ((await frames.next()).done !== true);
  await idle;
  assert.deepEqual(lost, [0]);
});
