import assert from "node:assert/strict";
import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  toBinary,
} from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import {
  EBPFServices,
  file_novanet_v1_ebpf_services,
} from "../shared/gen/novanet/v1/ebpf_services_pb.ts";
import {
  AgentControl,
  DataplaneControl,
  DropReason,
  file_novanet_v1_novanet,
  StreamAgentFlowsRequestSchema,
  UpsertEndpointRequestSchema,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import { ENUMS, MESSAGES, SERVICES } from "./wire_contract.ts";

const FILES = [file_novanet_v1_novanet, file_novanet_v1_ebpf_services];
const FIRST_OWN_FIELD = 100;
const FIRST_OWN_VALUE = 64;

/** "Name: a; b" over lines that continue when indented -> name -> parts. */
function table(text: string): Map<string, string[]> {
  const lines = text.trim().replaceAll(/\n +/g, " ").split("\n");
  return new Map(lines.map((line) => {
    const [name = "", parts] = line.split(": ");
    return [name, parts?.split("; ") ?? []];
  }));
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "map":
      return `map<${nameOf(field.mapKey)},${
        field.mapKind === "scalar" ? nameOf(field.scalar) : field.mapKind
      }>`;
    case "list":
      return `repeated ${
        field.listKind === "scalar" ? nameOf(field.scalar) : (field.message ?? field.enum)!.name
      }`;
    case "scalar":
      return nameOf(field.scalar);
    case "enum":
      return field.enum.name;
    case "message":
      return field.message.name;
  }
}

function nameOf(scalar: ScalarType): string {
  return ScalarType[scalar]!.toLowerCase();
}

const MESSAGES_NOW = new Map(FILES.flatMap((file) => file.messages).map((one) => [one.name, one]));
const ENUMS_NOW = new Map(FILES.flatMap((file) => file.enums).map((one) => [one.name, one]));

function fieldsOf(message: DescMessage | undefined): string[] {
  assert(message !== undefined, "the message is not there");
  return message.fields
    .filter((field) => field.number < FIRST_OWN_FIELD)
    .map((field) => `${field.number} ${field.name} ${typeOf(field)}`)
    .sort();
}

function valuesOf(desc: DescEnum | undefined): string[] {
  assert(desc !== undefined, "the enum is not there");
  return desc.values
    .filter((value) => value.number < FIRST_OWN_VALUE)
    .map((value) => `${value.number} ${value.name}`);
}

Deno.test("services have the RPCs of the contract and no others", () => {
  const now = [DataplaneControl, AgentControl, EBPFServices].map((service) =>
    [
      service.typeName,
      ...service.methods.map((method) => {
        assert(method.methodKind === "unary" || method.methodKind === "server_streaming");
        const stream = method.methodKind === "unary" ? "" : "stream ";
        return `  ${method.name}(${method.input.name}) ${stream}${method.output.name}`;
      }).sort(),
    ].join("\n")
  );
  const contract = SERVICES.trim().split(/\n(?=\S)/).map((service) => {
    const [name, ...methods] = service.split("\n");
    return [name, ...methods.sort()].join("\n");
  });
  assert.deepEqual(now, contract);
});

for (const [name, fields] of table(MESSAGES)) {
  Deno.test(`message ${name} has the fields of the contract`, () => {
    assert.deepEqual(fieldsOf(MESSAGES_NOW.get(name)), fields.toSorted());
  });
}

Deno.test("messages of our own have no field from a number that a seed client could send", () => {
  const ours = [...MESSAGES_NOW.keys()].filter((name) => !table(MESSAGES).has(name));
  assert.deepEqual(ours.sort(), ["CidrIdentity", "MapUsage"]);
});

for (const [name, values] of table(ENUMS)) {
  Deno.test(`enum ${name} has the values of the contract`, () => {
    const own = name === "DropReason"
      ? [`${DropReason.RATE_LIMITED} DROP_REASON_RATE_LIMITED`]
      : [];
    assert.deepEqual(valuesOf(ENUMS_NOW.get(name)), [...values, ...own]);
  });
}

const GOLDEN: readonly [string, Uint8Array, string][] = [
  [
    "10.0.0.1 is 167772161",
    toBinary(
      UpsertEndpointRequestSchema,
      create(UpsertEndpointRequestSchema, {
        ip: 0x0a000001,
        ifindex: 7,
        mac: Uint8Array.of(2, 254, 10, 0, 0, 1),
        identityId: 256,
        podName: "web",
        namespace: "shop",
        nodeIp: 0xc0a80001,
      }),
    ),
    "088180805010071a0602fe0a0000012080022a037765623204" +
    "73686f703881 80a085 0c".replaceAll(" ", ""),
  ],
  [
    "drops_only is number 2",
    toBinary(
      StreamAgentFlowsRequestSchema,
      create(StreamAgentFlowsRequestSchema, { dropsOnly: true }),
    ),
    "1001",
  ],
];

for (const [name, bytes, hex] of GOLDEN) {
  Deno.test(`bytes on the wire: ${name}`, () => assert.equal(bytes.toHex(), hex));
}
