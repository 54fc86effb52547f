import assert from "node:assert/strict";
import type { CompiledEntry, DesiredPolicy } from "../policy/mod.ts";
import { unionPolicy } from "./union.ts";

function entry(dstIdentity: number, ruleId: number): CompiledEntry {
  return {
    srcIdentity: 0,
    dstIdentity,
    protocol: 6,
    dstPort: 80,
    portPrefixLen: 0,
    action: 1,
    direction: 1,
    isolation: false,
    ruleId,
  };
}

Deno.test("a union holds both sets, and the next one's word where both speak", () => {
  const now: DesiredPolicy = {
    policies: [entry(300, 16), entry(301, 17)],
    cidrIdentities: [{ cidrIp: 1, prefixLen: 32, identityId: 1 << 24 }],
    ruleNames: { 16: "a", 17: "b" },
  };
  const next: DesiredPolicy = {
    policies: [entry(301, 18), entry(302, 18)],
    cidrIdentities: [
      { cidrIp: 1, prefixLen: 32, identityId: (1 << 24) + 1 },
      { cidrIp: 1, prefixLen: 24, identityId: (1 << 24) + 2 },
    ],
    ruleNames: { 18: "c" },
  };
  const union = unionPolicy(now, next);
  assert.deepEqual(union.policies.map(({ dstIdentity, ruleId }) => [dstIdentity, ruleId]), [
    [300, 16],
    [301, 18],
    [302, 18],
  ]);
  assert.deepEqual(union.cidrIdentities, next.cidrIdentities);
  assert.deepEqual(union.ruleNames, { 16: "a", 17: "b", 18: "c" });
});
