import assert from "node:assert/strict";
import { ACTION, type CompiledEntry, type DesiredPolicy, entryKey } from "../policy/mod.ts";
import { fitPolicy } from "./fit_policy.ts";

const allow = (dstIdentity: number, dstPort: number, ruleId = 16): CompiledEntry => ({
  srcIdentity: 0,
  dstIdentity,
  protocol: 6,
  dstPort,
  portPrefixLen: 0,
  action: ACTION.allow,
  direction: 1,
  isolation: false,
  ruleId,
});
const isolated = (dstIdentity: number, action: CompiledEntry["action"] = ACTION.deny) => ({
  ...allow(dstIdentity, 0, 17),
  protocol: 0,
  action,
  isolation: true,
});
const set = (...policies: readonly CompiledEntry[]): DesiredPolicy => ({
  policies,
  cidrIdentities: [],
  ruleNames: {},
});
const fitted = (inForce: DesiredPolicy, desired: DesiredPolicy) => {
  const { policy, closed } = fitPolicy(inForce, desired);
  return { entries: policy.policies.map(entryKey).sort(), closed: [...closed] };
};
const keys = (...entries: readonly CompiledEntry[]) => entries.map(entryKey).sort();

const ROWS: readonly {
  readonly name: string;
  readonly inForce: DesiredPolicy;
  readonly desired: DesiredPolicy;
  readonly expected: readonly CompiledEntry[];
  readonly closed: readonly number[];
}[] = [
  {
    name: "rules that stay as they are stay",
    inForce: set(isolated(300), allow(300, 80)),
    desired: set(isolated(300), allow(300, 80)),
    expected: [isolated(300), allow(300, 80)],
    closed: [],
  },
  {
    name: "an identity that becomes isolated is closed, another one keeps its rules",
    inForce: set(isolated(300), allow(300, 80)),
    desired: set(isolated(300), allow(300, 80), isolated(301), allow(301, 1), allow(301, 2)),
    expected: [isolated(300), allow(300, 80), isolated(301)],
    closed: [301],
  },
  {
    name: "one that gets more rules than there is room for loses those that it had",
    inForce: set(isolated(300), allow(300, 80)),
    desired: set(isolated(300), allow(300, 80), allow(300, 81)),
    expected: [isolated(300)],
    closed: [300],
  },
  {
    name: "a rule that is decided otherwise counts as changed",
    inForce: set(isolated(300), allow(300, 80)),
    desired: set(isolated(300), allow(300, 80, 18)),
    expected: [isolated(300)],
    closed: [300],
  },
  {
    name: "one that is free of rules from now on is free",
    inForce: set(isolated(300), allow(300, 80)),
    desired: set(),
    expected: [],
    closed: [],
  },
  {
    name: "rules for every pod are in force in any case",
    inForce: set(),
    desired: set(allow(0, 0)),
    expected: [allow(0, 0)],
    closed: [],
  },
  {
    name: "what would only be audited is not closed",
    inForce: set(),
    desired: set(isolated(300, ACTION.audit), allow(300, 80)),
    expected: [],
    closed: [300],
  },
];

for (const { name, inForce, desired, expected, closed } of ROWS) {
  Deno.test(`no room: ${name}`, () => {
    assert.deepEqual(fitted(inForce, desired), { entries: keys(...expected), closed });
  });
}
