import assert from "node:assert/strict";
import {
  assignIdentities,
  END_POD_IDENTITY,
  FIRST_POD_IDENTITY,
  firstTry,
  fnv1a64,
} from "./assign.ts";
import { IdentityTable } from "./identity_table.ts";
import { identityLabels, labelFilter, labelKey } from "./label_set.ts";

/** Published test vectors of FNV-1a 64 (isthe.com, "FNV test suite"). */
const FNV: [text: string, hash: bigint][] = [
  ["", 0xcbf29ce484222325n],
  ["a", 0xaf63dc4c8601ec8cn],
  ["foobar", 0x85944171f73967e8n],
];
for (const [text, hash] of FNV) {
  Deno.test(`FNV-1a 64 of ${JSON.stringify(text)}`, () => assert.equal(fnv1a64(text), hash));
}

Deno.test("the key is sorted, and holds the namespace and what passes the filter", () => {
  const keep = labelFilter(["pod-template-hash", "batch.kubernetes.io/*"]);
  const labels = identityLabels(
    "shop",
    {
      tier: "db",
      app: "x",
      "pod-template-hash": "1",
      "batch.kubernetes.io/job-name": "j",
      "novanet.io/namespace": "forged",
    },
    { "novanet.io/named-ports": "http=80" },
    keep,
  );
  assert.equal(
    labelKey(labels),
    "app=x,novanet.io/named-ports=http%3D80,novanet.io/namespace=shop,tier=db",
  );
});

Deno.test("different label sets have different keys, whatever their values hold", () => {
  assert.notEqual(labelKey({ a: "b,c=d" }), labelKey({ a: "b", c: "d" }));
  assert.notEqual(labelKey({ a: "b%2C" }), labelKey({ a: "b," }));
});

Deno.test("numbers are those of pods", () => {
  for (let i = 0; i < 10_000; i++) {
    const id = firstTry(`app=${i}`);
    assert.ok(id >= FIRST_POD_IDENTITY && id < END_POD_IDENTITY);
  }
});

Deno.test("numbers do not depend on the order of arrival, whatever collides", () => {
  const keys = Array.from({ length: 40 }, (_, i) => `app=${i}`);
  const crowd = (key: string) => END_POD_IDENTITY - 20 + Number(fnv1a64(key) % 20n);
  const sorted = assignIdentities(keys, crowd);
  assert.equal(new Set(sorted.values()).size, 40);
  assert.deepEqual(assignIdentities(keys.toReversed(), crowd), sorted);

  const table = new IdentityTable(crowd);
  for (const key of keys.toReversed()) table.acquire({ app: key.slice(4) }, key);
  table.acquire({ app: "gone" }, "gone");
  table.release("gone");
  for (const key of keys) assert.equal(table.idOf({ app: key.slice(4) }), sorted.get(key));
});

Deno.test("a set that sorts first takes the number, and the other is reported as moved", () => {
  const table = new IdentityTable(() => 300);
  assert.deepEqual(table.acquire({ app: "b" }, "1"), { id: 300, setChanged: true, renumbered: [] });
  assert.deepEqual(table.acquire({ app: "a" }, "2"), {
    id: 300,
    setChanged: true,
    renumbered: [{ key: "app=b", from: 300, to: 301 }],
  });
  assert.equal(table.idOfHolder("1"), 301);
  assert.deepEqual(table.release("2"), {
    id: 300,
    setChanged: true,
    renumbered: [{ key: "app=b", from: 301, to: 300 }],
  });
});

Deno.test("identities are counted by holder and go with the last one", () => {
  const table = new IdentityTable();
  const first = table.acquire({ app: "a" }, "1");
  assert.deepEqual(table.acquire({ app: "a" }, "2"), { ...first, setChanged: false });
  table.acquire({ app: "a" }, "2");
  assert.deepEqual(table.list(), [{ id: first.id, labels: { app: "a" }, refCount: 2 }]);
  assert.equal(table.release("1")?.setChanged, false);
  assert.equal(table.release("1"), undefined);
  assert.equal(table.release("2")?.setChanged, true);
  assert.equal(table.size, 0);
});

Deno.test("a holder whose labels change holds the new identity only", () => {
  const table = new IdentityTable();
  table.acquire({ app: "a" }, "1");
  const { id } = table.acquire({ app: "b" }, "1");
  assert.deepEqual(table.list(), [{ id, labels: { app: "b" }, refCount: 1 }]);
});
