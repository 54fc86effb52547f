import assert from "node:assert/strict";
import { SeededRandom } from "../testing/seeded_random.ts";
import { decodeDoneMessage, decodeErrorMessage } from "./ack.ts";
import { decodeAddress } from "./address.ts";
import { decodeAttributes, encodeAttributes } from "./attribute.ts";
import { decodeLink } from "./link.ts";
import { align4, decodeMessages, encodeMessage } from "./message.ts";
import { decodeNeighbour } from "./neighbour.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";
import { decodeQdisc } from "./qdisc.ts";
import { decodeRoute } from "./route.ts";
import { GOLDEN } from "./testdata/golden.ts";

const ROUNDS = 3000;
/** Around the bytes under test: whatever a decoder returns must not change with them. */
const MARGIN = 64;

const message = (payload: Uint8Array, flags: number) => ({
  type: 2,
  flags,
  seq: 0,
  pid: 0,
  payload,
});

const DECODERS: [name: string, seeds: readonly string[], decode: (bytes: Uint8Array) => unknown][] =
  [
    ["decodeMessages", Object.values(GOLDEN).flat(), decodeMessages],
    ["decodeAttributes", payloads(GOLDEN.links, 16), decodeAttributes],
    ["decodeLink", payloads(GOLDEN.links, 0), decodeLink],
    ["decodeAddress", payloads(GOLDEN.addresses, 0), decodeAddress],
    ["decodeRoute", payloads(GOLDEN.routes, 0), decodeRoute],
    ["decodeNeighbour", payloads(GOLDEN.neighbours, 0), decodeNeighbour],
    ["decodeQdisc", payloads(GOLDEN.qdiscs, 0), decodeQdisc],
    [
      "decodeErrorMessage",
      payloads(GOLDEN.errorMessage, 0),
      (b) => decodeErrorMessage(message(b, 0x200)),
    ],
    [
      "decodeErrorMessage capped",
      payloads(GOLDEN.ack, 0),
      (b) => decodeErrorMessage(message(b, 0x300)),
    ],
    ["decodeDoneMessage", ["00000000", ""], (b) => decodeDoneMessage(message(b, 0x200))],
  ];

function payloads(datagrams: readonly string[], skip: number): string[] {
  return datagrams.flatMap((hex) => decodeMessages(Uint8Array.fromHex(hex)))
    .map(({ payload }) => payload.subarray(skip).toHex());
}

/** The same bytes amid others: a decoder that reads beyond them gives two different answers. */
function amid(bytes: Uint8Array, filler: number): Uint8Array {
  const around = new Uint8Array(bytes.length + 2 * MARGIN).fill(filler);
  around.set(bytes, MARGIN);
  return around.subarray(MARGIN, MARGIN + bytes.length);
}

function outcome(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    return JSON.stringify(
      decode(bytes),
      (_, value) => value instanceof Uint8Array ? value.toHex() : value,
    ) ?? "";
  } catch (error) {
    assert(error instanceof NetlinkDecodeError, `${error} for ${bytes.toHex()}`);
    return error.message;
  }
}

for (const [name, seeds, decode] of DECODERS) {
  Deno.test(`fuzz ${name}: damaged bytes give a value or a NetlinkDecodeError, from those bytes alone`, () => {
    const random = new SeededRandom(20261121);
    for (let round = 0; round < ROUNDS; round++) {
      const seed = Uint8Array.fromHex(seeds[random.below(seeds.length)] ?? "");
      const bytes = round % 5 === 0 ? random.bytes(random.below(96)) : random.damage(seed);
      assert.equal(
        outcome(decode, amid(bytes, 0)),
        outcome(decode, amid(bytes, 0xff)),
        bytes.toHex(),
      );
    }
  });
}

Deno.test("fuzz: what was made by encoding comes back from decoding", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < ROUNDS; round++) {
    const attributes = Array.from({ length: random.below(5) }, () => ({
      rawType: random.below(0x10000),
      value: random.bytes(random.below(40)),
    }));
    assert.deepEqual(decodeAttributes(encodeAttributes(attributes)), attributes);
    const message = {
      type: random.below(0x10000),
      flags: random.below(0x10000),
      seq: random.below(2 ** 32),
      pid: random.below(2 ** 32),
      payload: random.bytes(random.below(40)),
    };
    const bytes = encodeMessage(message);
    assert.equal(bytes.length, align4(16 + message.payload.length));
    assert.deepEqual(decodeMessages(bytes), [message]);
  }
});
