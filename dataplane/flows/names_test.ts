import assert from "node:assert/strict";
import { PodNames, RuleNames } from "./names.ts";

const A = { podName: "a", namespace: "ns" };
const B = { podName: "b", namespace: "ns" };

Deno.test("a pod's name is found by address, also after its identity changed", () => {
  const names = new PodNames();
  names.set(1, 256, A);
  assert.equal(names.find(1, 256)?.podName, "a");
  assert.equal(names.find(2, 256), undefined);
  names.set(1, 300, A);
  assert.equal(names.find(1, 300)?.podName, "a");
  assert.equal(names.find(1, 256)?.podName, "a");
});

Deno.test("a pod that left keeps its name for its last events, its successor has its own", () => {
  const names = new PodNames();
  names.set(1, 256, A);
  names.delete(1);
  assert.equal(names.get(1), undefined);
  assert.equal(names.find(1, 256)?.podName, "a");
  names.set(1, 300, B);
  assert.equal(names.find(1, 256)?.podName, "a");
  assert.equal(names.find(1, 300)?.podName, "b");
});

Deno.test("departed pods do not pile up", () => {
  const names = new PodNames();
  for (let ip = 0; ip < 10_000; ip++) {
    names.set(ip, 256, A);
    names.delete(ip);
  }
  const kept = Array.from({ length: 10_000 }, (_, ip) => names.find(ip, 256)).filter(Boolean);
  assert.equal(kept.length, 4096);
  assert.ok(names.find(9_999, 256));
});

Deno.test("rule names: the present ones, then those before, then the reserved ones", () => {
  const names = new RuleNames();
  assert.equal(names.get(1), "default-deny");
  assert.equal(names.get(16), "");
  names.replace(new Map([[16, "ns/p:ingress[0]"], [17, "x"]]));
  names.replace(new Map([[17, "y"]]));
  assert.equal(names.get(16), "ns/p:ingress[0]");
  assert.equal(names.get(17), "y");
  names.set(18, "z");
  assert.deepEqual([...names.all], [[17, "y"], [18, "z"]]);
});
