import assert from "node:assert/strict";
import { eventually } from "../shared/testing/eventually.ts";
import { AgentLab } from "./testing/agent_lab.ts";

Deno.test("what is wrong with a manifest is logged, once", async () => {
  await using lab = await AgentLab.start({}, { "bad.yaml": "kind: NetworkPolicy\n" });
  const logged = () => lab.log.match(/a manifest is not in force[^\n]*bad\.yaml:1/g) ?? [];
  const first = logged().length;
  assert.ok(first > 0, lab.log);
  Deno.writeTextFileSync(`${lab.manifests}/good.yaml`, "apiVersion: v1\nkind: Pod\nmetadata: {}\n");
  await eventually(() => /good\.yaml/.test(lab.log));
  assert.equal(logged().length, first);
});
