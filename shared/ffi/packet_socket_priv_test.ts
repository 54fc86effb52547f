import assert from "node:assert/strict";
import { inNetns, openNetns } from "../netns/netns.ts";
import { eventually } from "../testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../testing/lab.ts";
import { SysError } from "./errno.ts";
import { PacketSocket } from "./packet_socket.ts";
import * as sys from "./sys.ts";

const ETHERTYPE_TEST = 0x88b5; // IEEE 802: for local experiments
const VLAN_TAG = [0x81, 0x00, 0x00, 0x2a];

function frame(size: number, tag: readonly number[] = []): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  bytes.set([
    2,
    0,
    0,
    0,
    0,
    2,
    2,
    0,
    0,
    0,
    0,
    1,
    ...tag,
    ETHERTYPE_TEST >> 8,
    ETHERTYPE_TEST & 255,
  ]);
  bytes[size - 1] = 0x5a;
  return bytes;
}

/** struct sockaddr_ll of an interface. */
function linkAddress(ifindex: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sys.AF_PACKET, true);
  view.setInt32(4, ifindex, true);
  return bytes;
}

/** A moment after both ends of a veth pair are up the kernel gives it a queue; till then it drops. */
function isRunning(netns: LabNetns, name: string): boolean {
  const IFF_RUNNING = 0x40;
  using links = netns.rtnetlink();
  return (links.linkGet(name).flags & IFF_RUNNING) !== 0;
}

/** Two joined namespaces, a sender in the one and a reader in the other. */
async function joined(lab: NetnsLab, options: { snaplen?: number; bufferBytes?: number } = {}) {
  const [a, b] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: a, name: "nvt0" }, { netns: b, name: "nvt0" });
  for (const netns of [a, b]) await eventually(() => isRunning(netns, "nvt0"));
  const [aIndex, bIndex] = [a, b].map(({ path }) => inNetns(path, () => sys.ifNametoindex("nvt0")));
  using aFd = openNetns(a.path);
  using bFd = openNetns(b.path);
  const sender = lab.own(sys.netnsSocket(aFd.fd, sys.AF_PACKET, sys.SOCK_RAW, 0));
  const reader = new PacketSocket({ netnsFd: bFd.fd, ifindex: bIndex!, ...options });
  lab.own(reader);
  return {
    reader,
    other: b,
    send: (bytes: Uint8Array) => sys.sendto(sender.fd, bytes, 0, linkAddress(aIndex!)),
    /** The next frame of ours: the kernel may send IPv6 of its own. */
    async receive() {
      for (;;) {
        const found = reader.receive();
        if (!found) assert(await reader.wait(5000), "no frame came");
        else if (found.data[0] === 2 && found.data.includes(0x88)) return found;
      }
    },
  };
}

Deno.test("a frame comes as it was sent, with the time", async () => {
  await using lab = new NetnsLab();
  const { send, receive } = await joined(lab);
  const before = sys.clockGettime(sys.CLOCK_REALTIME);
  send(frame(100));
  const { data, originalLength, timestampNs } = await receive();
  assert.deepEqual(data, frame(100));
  assert.equal(originalLength, 100);
  const after = sys.clockGettime(sys.CLOCK_REALTIME);
  assert(before <= timestampNs && timestampNs <= after, `${before} ${timestampNs} ${after}`);
});

Deno.test("a VLAN tag that the kernel took off is put back", async () => {
  await using lab = new NetnsLab();
  const { send, receive } = await joined(lab);
  send(frame(100, VLAN_TAG));
  const { data, originalLength } = await receive();
  assert.deepEqual(data, frame(100, VLAN_TAG));
  assert.equal(originalLength, 100);
});

for (const tag of [[], VLAN_TAG]) {
  Deno.test(`snaplen cuts a frame ${tag.length ? "with" : "without"} a tag and its length stays known`, async () => {
    await using lab = new NetnsLab();
    const { send, receive } = await joined(lab, { snaplen: 40 });
    send(frame(1000, tag));
    const { data, originalLength } = await receive();
    assert.deepEqual(data, frame(1000, tag).subarray(0, 40));
    assert.equal(originalLength, 1000);
  });
}

Deno.test("frames that did not fit the buffer are counted", async () => {
  await using lab = new NetnsLab();
  const { send, reader } = await joined(lab, { bufferBytes: 16_384 });
  const sent = 300;
  for (let i = 0; i < sent; i++) send(frame(1000));
  const seen = { frames: 0, lost: 0 };
  await eventually(() => {
    const { frames, lost } = reader.statistics();
    seen.frames += frames;
    seen.lost += lost;
    return seen.frames >= sent;
  });
  let received = 0;
  while (reader.receive()) received++;
  assert(seen.lost > 0);
  assert.equal(received + seen.lost, seen.frames + reader.statistics().frames);
});

Deno.test("an interface that goes is an error, one that is not there too", async () => {
  await using lab = new NetnsLab();
  const { reader, other } = await joined(lab);
  while (reader.receive());
  await other.run(["ip", "link", "delete", "nvt0"]);
  assert(await reader.wait(5000));
  assert.throws(
    () => reader.receive(),
    (error) => error instanceof SysError && error.code === "ENETDOWN",
  );
  using netns = openNetns(other.path);
  assert.throws(
    () => new PacketSocket({ netnsFd: netns.fd, ifindex: 12345 }),
    (error) => error instanceof SysError && error.code === "ENODEV",
  );
});
