import assert from "node:assert/strict";
import { IdsExhaustedError, StableIds } from "./stable_ids.ts";

Deno.test("a name keeps its number over release and restart", () => {
  const known: [string, number][] = [];
  const options = { first: 16, onAssigned: (name: string, id: number) => known.push([name, id]) };
  const ids = new StableIds(options);
  assert.deepEqual(["a", "b", "a"].map((name) => ids.acquire(name)), [16, 17, 16]);
  ids.release("a");
  ids.release("a");
  assert.equal(ids.acquire("c"), 18);
  assert.equal(ids.acquire("a"), 16);
  const later = new StableIds({ first: 16, known });
  assert.deepEqual(["d", "c", "a"].map((name) => later.acquire(name)), [19, 18, 16]);
});

Deno.test("only so many released names are remembered, and no number is given twice", () => {
  const forgotten: string[] = [];
  const ids = new StableIds({ first: 1, retain: 2, onForgotten: (name) => forgotten.push(name) });
  for (const name of ["a", "b", "c"]) ids.acquire(name);
  for (const name of ["b", "a", "c", "x"]) ids.release(name);
  assert.deepEqual(forgotten, ["b"]);
  assert.deepEqual([ids.acquire("b"), ids.acquire("a"), ids.get("c")], [4, 1, 3]);
});

Deno.test("a range that is used up takes back released numbers, oldest first, then refuses", () => {
  const ids = new StableIds({ first: 1, last: 2 });
  ids.acquire("a");
  ids.acquire("b");
  assert.throws(() => ids.acquire("c"), IdsExhaustedError);
  ids.release("a");
  assert.equal(ids.acquire("c"), 1);
  assert.throws(() => ids.acquire("a"), IdsExhaustedError);
});
