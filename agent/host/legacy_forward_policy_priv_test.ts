import assert from "node:assert/strict";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { forwardDropChains } from "./forward_policy.ts";
import { legacyForwardDrops } from "./legacy_forward_policy.ts";

const hasTool = await new Deno.Command("sh", { args: ["-c", "command -v iptables-legacy"] })
  .output().then(({ success }) => success);

Deno.test({
  name: "the FORWARD policy of iptables-legacy is seen, beside rules (needs iptables-legacy)",
  ignore: !hasTool,
}, async () => {
  await using lab = new NetnsLab();
  const host = await lab.addNetns();
  const legacy = (...args: string[]) => host.run(["iptables-legacy", ...args]);
  assert.equal(legacyForwardDrops(host.path), false);
  await legacy("-A", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "DROP");
  assert.equal(legacyForwardDrops(host.path), false);
  await legacy("-P", "INPUT", "DROP");
  assert.deepEqual(forwardDropChains(host.path), []);
  await legacy("-P", "FORWARD", "DROP");
  assert.deepEqual(forwardDropChains(host.path), ["filter FORWARD of iptables-legacy"]);
  await legacy("-P", "FORWARD", "ACCEPT");
  assert.equal(legacyForwardDrops(host.path), false);
});
