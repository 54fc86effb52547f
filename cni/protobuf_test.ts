import assert from "node:assert/strict";
import { SeededRandom } from "../shared/testing/seeded_random.ts";
import { ADD_POD_REQUEST, COLLECT_GARBAGE_REQUEST } from "./messages.ts";
import { decode, encode, type MessageSpec, ProtobufError } from "./protobuf.ts";

const SPEC = { text: [1, "string"], number: [2, "uint32"] } as const satisfies MessageSpec;

const BROKEN: readonly [string, number[]][] = [
  ["a tag without a value", [0x0a]],
  ["a text cut off", [0x0a, 3, 65]],
  ["a number without an end", [0x10, 0xff]],
  ["a number of eleven bytes", [0x10, ...Array(10).fill(0x80), 1]],
  ["a text with the wire type of a number", [0x08, 1]],
  ["a number with the wire type of a text", [0x12, 1, 65]],
  ["a text that is not UTF-8", [0x0a, 1, 0xff]],
  ["a group", [0x1b]],
  ["a fixed64 cut off", [0x19, 1, 2, 3]],
];

for (const [what, bytes] of BROKEN) {
  Deno.test(`${what} is an error`, () => {
    assert.throws(() => decode(SPEC, Uint8Array.from(bytes)), ProtobufError);
  });
}

Deno.test("unknown fields of every kind are skipped", () => {
  const unknown = [0x18, 0x96, 0x01, 0x1a, 1, 65, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4];
  const bytes = Uint8Array.from([...unknown, 0x0a, 1, 65, ...unknown, 0x10, 7]);
  assert.deepEqual(decode(SPEC, bytes), { text: "A", number: 7 });
});

Deno.test("the last of a repeated single field counts", () => {
  assert.equal(decode(SPEC, Uint8Array.from([0x10, 1, 0x10, 2])).number, 2);
});

Deno.test("any bytes are a message or a ProtobufError", () => {
  const random = new SeededRandom(3);
  const seeds = [
    encode(COLLECT_GARBAGE_REQUEST, { valid: [{ containerId: "abc", ifName: "eth0" }] }),
    encode(ADD_POD_REQUEST, {
      podName: "web-0",
      podNamespace: "shop",
      containerId: "c0ffee",
      netns: "/run/netns/blue",
      ifName: "eth0",
      labels: { app: "web" },
      requestedIps: ["10.0.0.1"],
      quickAttach: true,
    }),
  ];
  for (let round = 0; round < 5000; round++) {
    const bytes = random.damage(seeds[round % 2]!);
    try {
      decode(round % 2 === 0 ? COLLECT_GARBAGE_REQUEST : ADD_POD_REQUEST, bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof ProtobufError, String(thrown));
    }
  }
});
