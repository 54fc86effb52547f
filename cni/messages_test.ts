import { create, type DescField, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import {
  AgentExt,
  AttachmentSchema,
  CheckPodRequestSchema,
  CollectGarbageRequestSchema,
  CollectGarbageResponseSchema,
  GetReadinessResponseSchema,
} from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  AddPodRequestSchema,
  AddPodResponseSchema,
  AgentControl,
  DelPodRequestSchema,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import * as messages from "./messages.ts";
import { decode, encode, type MessageSpec } from "./protobuf.ts";

const PAIRS: readonly [DescMessage, MessageSpec][] = [
  [AddPodRequestSchema, messages.ADD_POD_REQUEST],
  [AddPodResponseSchema, messages.ADD_POD_RESPONSE],
  [DelPodRequestSchema, messages.DEL_POD_REQUEST],
  [CheckPodRequestSchema, messages.CHECK_POD_REQUEST],
  [GetReadinessResponseSchema, messages.GET_READINESS_RESPONSE],
  [AttachmentSchema, messages.ATTACHMENT],
  [CollectGarbageRequestSchema, messages.COLLECT_GARBAGE_REQUEST],
  [CollectGarbageResponseSchema, messages.COLLECT_GARBAGE_RESPONSE],
  [AgentControl.method.delPod.output, messages.EMPTY],
  [AgentExt.method.checkPod.output, messages.EMPTY],
  [AgentExt.method.getReadiness.input, messages.EMPTY],
];

/** Not given by the agent yet. */
const LEFT_OUT = new Set(["ipv6", "gatewayV6", "prefixLengthV6"]);

/** Kinds as protobuf.ts names them, by the names of the descriptors. */
const SCALARS: Readonly<Record<number, string>> = {
  5: "int32",
  8: "bool",
  9: "string",
  13: "uint32",
};

function kindOf(field: DescField): string {
  if (field.fieldKind === "map") return "map<string, string>";
  if (field.fieldKind === "list") {
    return field.listKind === "message" ? "message[]" : `${SCALARS[field.scalar ?? 0]}[]`;
  }
  return SCALARS[field.scalar ?? 0] ?? "unknown";
}

for (const [schema, spec] of PAIRS) {
  Deno.test(`${schema.typeName} has the fields of its proto, all but those of IPv6`, () => {
    const expected = schema.fields.filter((field) => !LEFT_OUT.has(field.localName))
      .map((field) => [field.localName, field.number, kindOf(field)]);
    const found = Object.entries(spec).map(([name, field]) => [name, field[0], field[1]]);
    assert.deepEqual(found, expected);
  });

  Deno.test(`${schema.typeName} means the same to protobuf-es`, () => {
    const value = Object.fromEntries(
      Object.entries(spec).map(([name, field]) => [name, SAMPLES[field[1]]]),
    );
    const ours = encode(spec, value as never);
    const theirs = toBinary(schema, create(schema, value as never));
    assert.deepEqual(fromBinary(schema, ours), create(schema, value as never));
    assert.deepEqual(decode(spec, theirs), value);
    assert.deepEqual(decode(spec, ours), value);
  });

  Deno.test(`${schema.typeName} with nothing in it is empty`, () => {
    const empty = decode(spec, new Uint8Array());
    assert.equal(encode(spec, empty).length, 0);
  });
}

const SAMPLES: Readonly<Record<string, unknown>> = {
  "string": "pod ü \u{1f40b}",
  "int32": -2,
  "uint32": 0xfffffffe,
  "bool": true,
  "string[]": ["a", "", "b".repeat(300)],
  "map<string, string>": { app: "web", "": "x" },
  "message[]": [{ containerId: "c", ifName: "eth0" }, { containerId: "", ifName: "" }],
};
