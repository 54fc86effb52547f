import assert from "node:assert/strict";
import { PolicyAction, PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import {
  checkAction,
  policyEntryAt,
  type PolicyKeyFields,
  policyKeyWords,
} from "./policy_entry.ts";
import { PolicyTable } from "./policy_table.ts";

const NONE: PolicyKeyFields = {
  srcIdentity: 0,
  dstIdentity: 0,
  protocol: 0,
  dstPort: 0,
  direction: PolicyDirection.BOTH,
  portPrefixLen: 0,
  isolation: false,
};
const { INGRESS, EGRESS } = PolicyDirection;
const TCP = 6;

const GOOD: [fields: Partial<PolicyKeyFields>, prefixLen: number, kind: number][] = [
  [{}, 0, 0],
  [{ srcIdentity: 2 ** 32 - 1, dstIdentity: 256 }, 0, 0],
  [{ protocol: TCP, dstPort: 443 }, 16, 0],
  [{ protocol: TCP, dstPort: 443, portPrefixLen: 16 }, 16, 0],
  [{ protocol: TCP, dstPort: 0, portPrefixLen: 16 }, 16, 0],
  [{ protocol: 17, dstPort: 8192, portPrefixLen: 3 }, 3, 0],
  [{ protocol: 132, dstPort: 65_535 }, 16, 0],
  [{ protocol: 0, dstPort: 53 }, 16, 0],
  [{ protocol: 255 }, 0, 0],
  [{ dstIdentity: 300, direction: INGRESS, isolation: true }, 0, 1],
  [{ srcIdentity: 300, direction: EGRESS, isolation: true }, 0, 1],
];

for (const [fields, prefixLen, kind] of GOOD) {
  Deno.test(`${JSON.stringify(fields)} is a key with prefix length ${prefixLen}`, () => {
    const given = { ...NONE, ...fields };
    const [source, destination, word2, word3] = policyKeyWords(given);
    assert.deepEqual([source, destination], [given.srcIdentity, given.dstIdentity]);
    assert.equal(word2, given.protocol + given.direction * 2 ** 8 + given.dstPort * 2 ** 16);
    assert.equal(word3, prefixLen + kind * 2 ** 8);
  });

  Deno.test(`${JSON.stringify(fields)} comes out of a table as it went in`, () => {
    const given = { ...NONE, ...fields };
    const table = new PolicyTable();
    table.set(...policyKeyWords(given), PolicyAction.DENY, 7);
    const [slot] = table.slots();
    const entry = policyEntryAt(table, slot as number);
    assert.deepEqual(policyKeyWords({ ...NONE, ...entry } as PolicyKeyFields), [
      ...policyKeyWords(given),
    ]);
    assert.deepEqual([entry.action, entry.ruleId], [PolicyAction.DENY, 7]);
  });
}

const BAD: [fields: Partial<PolicyKeyFields>, message: RegExp][] = [
  [{ direction: 3 as PolicyDirection }, /^at\.direction 3/],
  [{ protocol: 256 }, /^at\.protocol 256/],
  [{ dstPort: 65_536 }, /^at\.dst_port 65536/],
  [{ protocol: 1, dstPort: 8 }, /^at\.dst_port 8: protocol 1 has no ports/],
  [{ protocol: TCP, portPrefixLen: 17 }, /^at\.port_prefix_len 17/],
  [{ protocol: TCP, dstPort: 8193, portPrefixLen: 3 }, /^at\.dst_port 8193.*port_prefix_len of 3/],
  [{ dstIdentity: 1, isolation: true }, /^at\.direction 0/],
  [{ direction: INGRESS, isolation: true }, /^at\.dst_identity 0/],
  [{ direction: EGRESS, isolation: true }, /^at\.src_identity 0/],
  [{ dstIdentity: 1, srcIdentity: 2, direction: INGRESS, isolation: true }, /^at\.src_identity 2/],
  [{ dstIdentity: 1, protocol: TCP, direction: INGRESS, isolation: true }, /^at\.protocol 6/],
  [
    { dstIdentity: 1, protocol: TCP, dstPort: 1, direction: INGRESS, isolation: true },
    /^at\.protocol 6/,
  ],
];

for (const [fields, message] of BAD) {
  Deno.test(`${JSON.stringify(fields)} is refused: ${message.source}`, () => {
    assert.throws(
      () => policyKeyWords({ ...NONE, ...fields }, "at."),
      (error) =>
        error instanceof RpcError && error.code === RpcCode.INVALID_ARGUMENT &&
        message.test(error.message),
    );
  });
}

Deno.test("actions: deny and allow, deny alone for isolation", () => {
  checkAction(PolicyAction.DENY, false);
  checkAction(PolicyAction.ALLOW, false);
  checkAction(PolicyAction.DENY, true);
  for (const [action, isolation] of [[64, false], [2, false], [-1, false], [1, true]] as const) {
    assert.throws(() => checkAction(action as PolicyAction, isolation, "at."), /at\.action/);
  }
});
