import assert from "node:assert/strict";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { PolicyEntrySchema, SyncPoliciesRequestSchema } from "../gen/novanet/v1/novanet_pb.ts";
import { SeededRandom } from "../testing/seeded_random.ts";
import { encodeSyncPolicies } from "./encode.ts";

type Request = MessageInitShape<typeof SyncPoliciesRequestSchema>;

const byDescriptor = (request: Request) =>
  toBinary(SyncPoliciesRequestSchema, create(SyncPoliciesRequestSchema, request));

Deno.test("the bytes of a known request", () => {
  const request: Request = {
    policies: [{ srcIdentity: 300, dstPort: 80, action: 1, direction: 2, isolation: true }, {}],
    ruleNames: { 16: "a" },
  };
  const bytes = [
    ...[10, 13, 0x08, 0xac, 0x02, 0x20, 80, 0x28, 1, 0xa0, 6, 2, 0xb0, 6, 1],
    ...[10, 0],
    ...[0xaa, 6, 5, 8, 16, 18, 1, 97],
  ];
  assert.deepEqual([...encodeSyncPolicies(request) ?? []], bytes);
});

Deno.test("the same bytes as by the descriptor, whatever the fields", () => {
  const random = new SeededRandom(5);
  const wide = [undefined, 0, 1, 127, 128, 16_383, 16_384, 2 ** 21, 2 ** 28, 2 ** 31 - 1];
  const number = () => wide[random.below(wide.length)];
  const u32 = () => random.below(3) === 0 ? 2 ** 32 - 1 - random.below(9) : number();
  for (let round = 0; round < 300; round++) {
    const policies = Array.from({ length: random.below(40) }, () => {
      const entry = {
        srcIdentity: u32(),
        dstIdentity: u32(),
        protocol: u32(),
        dstPort: u32(),
        action: number(),
        direction: number(),
        portPrefixLen: u32(),
        isolation: [undefined, false, true][random.below(3)],
        ruleId: u32(),
      };
      const given = Object.entries(entry).filter(([, value]) => value !== undefined);
      const init = Object.fromEntries(given);
      return random.below(3) === 0 ? create(PolicyEntrySchema, init) : init;
    });
    const request = {
      policies,
      cidrIdentities: [{ cidrIp: round, prefixLen: 32, identityId: 2 ** 24 }],
      ruleNames: { 1: "one", [round]: "round" },
    };
    assert.deepEqual(encodeSyncPolicies(request), byDescriptor(request));
    assert.deepEqual(encodeSyncPolicies({ policies }), byDescriptor({ policies }));
  }
});

const LEFT: [what: string, entry: Record<string, unknown>][] = [
  ["a negative number", { srcIdentity: -1 }],
  ["a fraction", { dstPort: 0.5 }],
  ["a number of 33 bits", { ruleId: 2 ** 32 }],
  ["an enum of 32 bits", { action: 2 ** 31 }],
  ["a text", { protocol: "6" }],
  ["a bool that is none", { isolation: 1 }],
  ["another message", { $typeName: "novanet.v1.CidrIdentity" }],
];
for (const [what, entry] of LEFT) {
  Deno.test(`left to the descriptor's encoder: ${what}`, () => {
    assert.equal(encodeSyncPolicies({ policies: [{}, entry] } as Request), undefined);
  });
}

Deno.test("left to the descriptor's encoder: fields that nobody knows", () => {
  const entry = fromBinary(PolicyEntrySchema, Uint8Array.of(0x38, 1));
  assert.equal(encodeSyncPolicies({ policies: [entry] }), undefined);
});
