import assert from "node:assert/strict";
import { Ipv4 } from "../shared/net/mod.ts";
import { firstTry, identityLabels, labelKey } from "./identity/mod.ts";
import { AgentLab } from "./testing/agent_lab.ts";

/** Two values of label `app` whose label sets try the same number first, in the order of the sets. */
function collidingApps(): [first: string, second: string] {
  const byNumber = new Map<number, string>();
  for (let i = 100_000;; i++) {
    const app = `x${i}`;
    const number = firstTry(labelKey(identityLabels("default", { app }, {}, () => true)));
    const other = byNumber.get(number);
    if (other !== undefined) return [other, app];
    byNumber.set(number, app);
  }
}

const DENY_ALL = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny, namespace: default }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

Deno.test("an identity that passes to another label set: its pods are closed in between", async () => {
  await using lab = await AgentLab.start({}, { "deny.yaml": DENY_ALL });
  const [first, second] = collidingApps();
  const moved = await lab.addPod("moved", { app: second });
  const ip = Ipv4.parse(moved.answer.ip).value;
  const before = lab.dataplane.endpoints.get(ip)?.identityId ?? 0;
  lab.dataplane.calls.length = 0;
  const taker = await lab.addPod("taker", { app: first });
  const takerIp = Ipv4.parse(taker.answer.ip).value;
  assert.equal(lab.dataplane.endpoints.get(takerIp)?.identityId, before);
  assert.equal(lab.dataplane.endpoints.get(ip)?.identityId, before + 1);
  const calls = lab.dataplane.calls.filter(([method]) => method !== "attachProgram");
  assert.deepEqual(calls.map(([method, detail]) => [method, detail.split(" ")[0]]), [
    ["deleteEndpoint", `${ip}`],
    ["patchPolicies", "+1"],
    ["upsertEndpoint", `${ip}`],
    ["upsertEndpoint", `${takerIp}`],
  ]);
});
