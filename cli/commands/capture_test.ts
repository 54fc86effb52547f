import assert from "node:assert/strict";
import type { CapturePodRequest } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { notFound } from "../../shared/rpc/errors.ts";
import { ctl, KEEPS_SHIM, type TestAgent, TestIo } from "../testing.ts";

const PACKET = {
  timestampNs: 1_795_248_550_123_456_789n,
  originalLen: 100,
  data: Uint8Array.from({ length: 64 }, (_, index) => index),
};

function capturing(packets: number, seen: CapturePodRequest[] = []): TestAgent {
  return {
    ext: {
      async *capturePod(request) {
        seen.push(request);
        for (let sent = 0; sent < packets; sent++) yield PACKET;
      },
    },
  };
}

Deno.test("a capture in a pipe is pcap with nanoseconds", KEEPS_SHIM, async () => {
  const seen: CapturePodRequest[] = [];
  const args = ["capture", "web-0", "-n", "shop", "--snaplen", "64", "--limit", "2"];
  const { io, stderr, exitCode } = await ctl(capturing(3, seen), args);
  const bytes = io.stdout.bytes();
  const view = new DataView(bytes.buffer);
  const u32 = (at: number) => view.getUint32(at, true);
  assert.equal(bytes.length, 24 + 2 * (16 + 64));
  assert.deepEqual([u32(0), u32(16), u32(20)], [0xa1b23c4d, 64, 1]);
  assert.deepEqual([u32(24), u32(28), u32(32), u32(36)], [1_795_248_550, 123_456_789, 64, 100]);
  assert.deepEqual(bytes.slice(40, 104), PACKET.data);
  assert.equal(stderr, "2 packets of shop/web-0 captured\n");
  assert.equal(exitCode, 0);
  const [request] = seen;
  assert.deepEqual([request?.namespace, request?.name, request?.snaplen, request?.maxPackets], [
    "shop",
    "web-0",
    64,
    2n,
  ]);
});

Deno.test("-w writes the file and nothing to stdout", KEEPS_SHIM, async () => {
  const { io } = await ctl(capturing(2), ["capture", "shop/web-0", "-w", "web.pcap"]);
  assert.equal(io.stdout.chunks.length, 0);
  assert.equal(io.files.get("web.pcap")?.bytes().length, 24 + 2 * (16 + 64));
});

Deno.test("a pod without packets leaves a file that is whole", KEEPS_SHIM, async () => {
  const { io, stderr } = await ctl(capturing(0), ["capture", "web-0", "-w", "web.pcap"]);
  assert.equal(io.files.get("web.pcap")?.bytes().length, 24);
  assert.equal(stderr, "0 packets of default/web-0 captured\n");
});

Deno.test("a pod that is not there exits with 4", KEEPS_SHIM, async () => {
  const agent: TestAgent = {
    ext: {
      capturePod: () => {
        throw notFound('pod "default/web-1"');
      },
    },
  };
  const { exitCode, stderr, io } = await ctl(agent, ["capture", "web-1", "-w", "web.pcap"]);
  assert.equal(exitCode, 4);
  assert.equal(io.files.size, 0);
  assert.equal(stderr, 'Error: novanet-agent: pod "default/web-1" not found\n');
  assert.equal(io.stdout.chunks.length, 0);
});

Deno.test("pcap is not written to a terminal", KEEPS_SHIM, async () => {
  for (const args of [["capture", "web-0"], ["capture", "web-0", "-w", "-"]]) {
    const { exitCode, stderr } = await ctl(capturing(1), args, new TestIo(100));
    assert.equal(exitCode, 2);
    assert.match(stderr, /-w FILE/);
  }
});

Deno.test("two namespaces that differ are refused", KEEPS_SHIM, async () => {
  const { exitCode } = await ctl(capturing(1), ["capture", "shop/web-0", "-n", "other"]);
  assert.equal(exitCode, 2);
});
