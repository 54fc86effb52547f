import assert from "node:assert/strict";
import { create, type DescField, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import { type FlowEvent, FlowEventSchema } from "../gen/novanet/v1/novanet_pb.ts";
import { SeededRandom } from "../testing/seeded_random.ts";
import { FlowFormatError, FlowReader } from "./flow_reader.ts";
import { FlowWriter, FRAME_HEADER_BYTES } from "./flow_writer.ts";

const writer = new FlowWriter();
const reader = new FlowReader();

/** Values that matter, by the field's type. */
function valuesOf(field: DescField): unknown[] {
  if (field.fieldKind === "enum") return field.enum.values.map(({ number }) => number);
  assert.equal(field.fieldKind, "scalar");
  switch (field.scalar) {
    case ScalarType.UINT32:
      return [0, 1, 127, 128, 65_535, 2 ** 31, 2 ** 32 - 1];
    case ScalarType.UINT64:
      return [0n, 1n, 127n, 128n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 35n, 2n ** 63n, 2n ** 64n - 1n];
    case ScalarType.INT64:
      return [0n, 1n, 2n ** 32n, 1_700_000_000_000_000_000n, 2n ** 63n - 1n, -1n, -(2n ** 63n)];
    case ScalarType.BOOL:
      return [false, true];
    case ScalarType.STRING:
      return [
        "",
        "a",
        "default",
        "ä",
        "規則:ingress[0]",
        "x".repeat(42),
        "x".repeat(43),
        "x".repeat(127),
      ]
        .concat(["x".repeat(128), "ü".repeat(64), "x".repeat(20_000), "規".repeat(6000)]);
    default:
      throw new TypeError(`no values for ${field.name}`);
  }
}

function withLostEvents(event: FlowEvent): Uint8Array {
  const message = writer.write(event).slice(FRAME_HEADER_BYTES);
  const lost = writer.lostEvents(Number(event.lostEvents));
  return Uint8Array.from([...message, ...lost]);
}

for (const field of FlowEventSchema.fields) {
  const values = valuesOf(field);
  Deno.test(`${field.name}: ${values.length} values are written and read as protobuf has them`, () => {
    for (const value of values) {
      const event = create(FlowEventSchema, { [field.localName]: value });
      const bytes = toBinary(FlowEventSchema, event);
      assert.deepEqual(reader.read(bytes), event);
      if (field.localName === "lostEvents" && (value as bigint) > 2n ** 53n) continue;
      assert.deepEqual(fromBinary(FlowEventSchema, withLostEvents(event)), event);
    }
  });
}

Deno.test("whole events, one after the other", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 2000; round++) {
    const init = Object.fromEntries(FlowEventSchema.fields.map((field) => {
      const values = valuesOf(field);
      return [field.localName, values[random.below(values.length)]];
    }));
    const event = create(FlowEventSchema, { ...init, lostEvents: BigInt(random.below(3)) });
    assert.deepEqual(reader.read(toBinary(FlowEventSchema, event)), event);
    assert.deepEqual(reader.read(withLostEvents(event)), event);
    const frame = writer.write(event);
    const length = new DataView(frame.buffer, frame.byteOffset).getUint32(1);
    assert.deepEqual([frame[0], length], [0, frame.length - FRAME_HEADER_BYTES]);
  }
});

Deno.test("fields of later versions are passed over", () => {
  const event = create(FlowEventSchema, { srcIp: 5, rule: "r" });
  const later = [
    ...[0xa0, 0x3f, 0x96, 0x01], // 1012, varint
    ...[0xa9, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8], // 1013, 64 bits
    ...[0xb2, 0x3f, 2, 0x41, 0x42], // 1014, text
    ...[0xbd, 0x3f, 1, 2, 3, 4], // 1015, 32 bits
  ];
  const bytes = Uint8Array.from([...later, ...toBinary(FlowEventSchema, event), ...later]);
  assert.deepEqual(reader.read(bytes), event);
});

const BAD: readonly [why: string, bytes: number[]][] = [
  ["a number is cut off", [0x08, 0x80]],
  ["a number is too long", [0x08, ...new Array<number>(10).fill(0x80), 0]],
  ["a field is cut off", [0xaa, 0x06, 5, 0x41]],
  ["wire type 3 is unknown", [0x0b]],
];
for (const [why, bytes] of BAD) {
  Deno.test(`no event: ${why}`, () => {
    assert.throws(
      () => reader.read(Uint8Array.from(bytes)),
      (error) => error instanceof FlowFormatError && error.message.includes(why),
    );
  });
}

Deno.test("whatever the bytes are, reading ends", () => {
  const random = new SeededRandom(11);
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from({ length: random.below(40) }, () => random.below(256));
    try {
      reader.read(bytes);
    } catch (error) {
      assert(error instanceof FlowFormatError, String(error));
    }
  }
});
