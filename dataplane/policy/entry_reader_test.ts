import assert from "node:assert/strict";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type PolicyEntrySchema,
  SyncPoliciesRequestSchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { differingFields, readEntries, sameRequest } from "./entry_reader.ts";
import { parseEntries } from "./parse_entries.ts";
import { policyEntryAt } from "./policy_entry.ts";
import { PolicyTable } from "./policy_table.ts";

type Entry = MessageInitShape<typeof PolicyEntrySchema>;
type Request = MessageInitShape<typeof SyncPoliciesRequestSchema>;

const encode = (request: Request) =>
  toBinary(SyncPoliciesRequestSchema, create(SyncPoliciesRequestSchema, request));

const listed = (table: PolicyTable) =>
  [...table.slots()].map((slot) => JSON.stringify(policyEntryAt(table, slot))).sort();

/** By the descriptor, as every other request is read. */
function readByDescriptor(bytes: Uint8Array): string[] {
  const { policies } = fromBinary(SyncPoliciesRequestSchema, bytes);
  return listed(parseEntries(policies, "policies"));
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function randomEntry(random: SeededRandom, number: number): Entry {
  const wide = [0, 1, 127, 128, 16_384, 2 ** 28, 2 ** 31, 2 ** 32 - 1];
  const pick = () => wide[random.below(wide.length)] ?? 0;
  const isolation = random.below(4) === 0;
  if (isolation) return { direction: 1, dstIdentity: 300 + number, isolation, ruleId: pick() };
  return {
    srcIdentity: pick(),
    dstIdentity: 1000 + number,
    protocol: [0, 6, 17][random.below(3)] ?? 0,
    dstPort: random.below(65_536) & 0xff00,
    portPrefixLen: 8,
    action: random.below(2),
    direction: random.below(3),
    ruleId: pick(),
  };
}

Deno.test("reads what the descriptor's decoder reads, from any encoder's bytes", () => {
  const random = new SeededRandom(11);
  for (let round = 0; round < 200; round++) {
    const bytes = encode({
      policies: Array.from({ length: random.below(20) }, (_, i) => randomEntry(random, i)),
      cidrIdentities: [{ cidrIp: 0x0a000000, prefixLen: 8, identityId: 2 ** 24 + round }],
      ruleNames: { [round]: "rule" },
    });
    const table = new PolicyTable();
    const read = readEntries(bytes, table);
    assert.ok(read);
    assert.deepEqual(listed(table), readByDescriptor(bytes));
    const rest = fromBinary(SyncPoliciesRequestSchema, read.rest);
    assert.equal(rest.policies.length, 0);
    assert.equal(rest.cidrIdentities[0]?.identityId, 2 ** 24 + round);
    assert.deepEqual(rest.ruleNames, { [round]: "rule" });
  }
});

Deno.test("whatever the bytes: it reads the same as the descriptor's decoder, or leaves them to it", () => {
  const random = new SeededRandom(12);
  const counts = { read: 0, left: 0 };
  for (let round = 0; round < 20_000; round++) {
    const good = encode({ policies: [randomEntry(random, 0), randomEntry(random, 1)] });
    const bytes = random.damage(good);
    const table = new PolicyTable();
    const read = readEntries(bytes, table);
    const rest = read && attempt(() => fromBinary(SyncPoliciesRequestSchema, read.rest));
    if (rest?.policies.length !== 0) {
      counts.left++;
      continue;
    }
    counts.read++;
    const whole = fromBinary(SyncPoliciesRequestSchema, bytes);
    assert.deepEqual(listed(table), listed(parseEntries(whole.policies, "policies")));
  }
  assert.ok(counts.read > 500 && counts.left > 500, JSON.stringify(counts));
});

const LEFT: [what: string, bytes: number[]][] = [
  ["a number in more bytes than five", [10, 7, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 0]],
  ["a number of 33 bits", [10, 6, 8, 0xff, 0xff, 0xff, 0xff, 0x1f]],
  ["an unknown field", [10, 2, 0x38, 1]],
  ["an entry that ends in a field", [10, 1, 8]],
  ["an entry longer than the request", [10, 9, 8, 1]],
  ["another wire type", [10, 5, 13, 1, 0, 0, 0]],
  ["a port above 65535", [10, 4, 0x20, 0x80, 0x80, 4]],
  ["an entry twice", [10, 2, 8, 1, 10, 2, 8, 1]],
];
for (const [what, bytes] of LEFT) {
  Deno.test(`left to the general decoder: ${what}`, () => {
    assert.equal(readEntries(Uint8Array.from(bytes), new PolicyTable()), undefined);
  });
}

Deno.test("cuts what two requests have in common, at whole fields", () => {
  const random = new SeededRandom(13);
  for (let round = 0; round < 500; round++) {
    const entries = Array.from({ length: 12 }, (_, i) => randomEntry(random, i % 8));
    const before = entries.slice(0, random.below(12));
    const after = [...before];
    const at = random.below(before.length + 1);
    after.splice(at, random.below(3), ...entries.slice(12 - random.below(3)));
    const [a, b] = [encode({ policies: before }), encode({ policies: after })];
    const differing = differingFields(a, b);
    assert.ok(differing);
    const head = a.subarray(0, differing.before.byteOffset - a.byteOffset);
    const tail = a.subarray(head.length + differing.before.length);
    const glued = Uint8Array.from([...head, ...differing.after, ...tail]);
    assert.deepEqual(glued, b, "what is left of the first, around what is new, is the second");
    const parts = [...head.length ? [head] : [], differing.before, differing.after, tail];
    for (const part of parts) fromBinary(SyncPoliciesRequestSchema, part);
    const changed = fromBinary(SyncPoliciesRequestSchema, differing.after).policies.length;
    assert.ok(changed <= 4, `${changed} entries`);
  }
  const same = encode({ policies: [{ srcIdentity: 1 }] });
  const none = differingFields(same, same.slice());
  assert.deepEqual([none?.before.length, none?.after.length], [0, 0]);
  assert.ok(sameRequest(same, same.slice()));
  assert.ok(!sameRequest(same, same.subarray(1)));
  for (const at of same.keys()) assert.ok(!sameRequest(same, same.with(at, 0xff)));
});
