import assert from "node:assert/strict";
import { LabelSets } from "./label_sets.ts";

Deno.test("a label set has one entry, whatever the order of its labels", () => {
  const sets = new LabelSets(1);
  const entry = sets.of({ app: "web", tier: "front" });
  assert(entry);
  assert.equal(sets.of({ tier: "front", app: "web" }), entry);
  assert.equal(sets.find({ app: "web", tier: "front" }), entry);
  assert.equal(sets.find({ app: "web" }), undefined);
});

Deno.test("what is not kept makes room, and its number is not given again", () => {
  const sets = new LabelSets(2);
  const [web, api] = [sets.of({ app: "web" }), sets.of({ app: "api" })];
  assert(web && api && sets.isFull);
  assert.equal(sets.of({ app: "new" }), undefined);
  sets.keepOnly(new Set([api]));
  assert.equal(sets.find({ app: "web" }), undefined);
  assert.equal(sets.of({ app: "api" }), api);
  const ids = [web, api, sets.of({ app: "new" })].map((entry) => entry?.id);
  assert.deepEqual(ids, [0, 1, 2]);
});
