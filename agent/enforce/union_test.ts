import assert from "node:assert/strict";
import type { DesiredPolicy } from "../policy/mod.ts";
import { compiledEntry } from "../testing/compiled_entry.ts";
import { unionPolicy } from "./union.ts";

Deno.test("a union holds both sets, and the next one's word where both speak", () => {
  const now: DesiredPolicy = {
    policies: [compiledEntry(300, 16), compiledEntry(301, 17)],
    cidrIdentities: [{ cidrIp: 1, prefixLen: 32, identityId: 1 << 24 }],
    ruleNames: { 16: "a", 17: "b" },
  };
  const next: DesiredPolicy = {
    policies: [compiledEntry(301, 18), compiledEntry(302, 18)],
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
