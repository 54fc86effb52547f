import assert from "node:assert/strict";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { type PolicyKeyWords, policyKeyWords } from "./policy_entry.ts";
import { isWildcard, sameShape, ShapeCounts, shapeKey, splitShapeKey } from "./policy_shapes.ts";
import { PolicyTable } from "./policy_table.ts";

const { BOTH, INGRESS, EGRESS } = PolicyDirection;

Deno.test("shapes by selected side; isolation has none", () => {
  const table = new PolicyTable();
  const add = (srcIdentity: number, dstIdentity: number, direction: PolicyDirection, more = {}) => {
    const none = { protocol: 0, dstPort: 0, portPrefixLen: 0, isolation: false };
    const words = policyKeyWords({ srcIdentity, dstIdentity, direction, ...none, ...more });
    table.set(...words, 1, 0);
  };
  add(256, 300, INGRESS, { protocol: 6, dstPort: 80 });
  add(257, 300, INGRESS, { protocol: 17, dstPort: 4096, portPrefixLen: 4 });
  add(256, 300, INGRESS);
  add(256, 300, EGRESS, { protocol: 6 });
  add(256, 0, INGRESS, { dstPort: 53 });
  add(0, 300, EGRESS, { protocol: 1 });
  add(256, 300, BOTH, { protocol: 6, dstPort: 443 });
  add(0, 300, INGRESS, { isolation: true });
  add(0, 301, INGRESS, { isolation: true });
  const shapes = ShapeCounts.of(table);
  const selected = [...shapes.keys()].filter((key) => !isWildcard(key));
  assert.deepEqual(
    new Map(selected.map((key) => [key, shapes.get(key)])),
    new Map([
      [shapeKey(300, INGRESS), { exactProtocol: 1 << 16 | 1 << 4, anyProtocol: 1 }],
      [shapeKey(256, EGRESS), { exactProtocol: 1, anyProtocol: 0 }],
    ]),
  );
  assert.deepEqual(shapes.wildcard, [
    { exactProtocol: 1 << 16, anyProtocol: 0 },
    { exactProtocol: 0, anyProtocol: 1 << 16 },
    { exactProtocol: 1, anyProtocol: 0 },
  ]);
});

Deno.test("keys keep identity and direction apart, up to the largest", () => {
  for (const identity of [1, 256, 2 ** 24, 2 ** 32 - 1]) {
    for (const direction of [INGRESS, EGRESS]) {
      assert.deepEqual(splitShapeKey(shapeKey(identity, direction)), { identity, direction });
    }
  }
});

Deno.test("counting entries in and out comes to the shapes of what is left", () => {
  const random = new SeededRandom(4);
  const left = new PolicyTable();
  const counts = new ShapeCounts();
  for (let step = 0; step < 5000; step++) {
    const words = policyKeyWords({
      srcIdentity: random.below(4),
      dstIdentity: random.below(4),
      protocol: random.below(2) * 6,
      dstPort: 0,
      portPrefixLen: random.below(17),
      direction: random.below(3),
      isolation: false,
    });
    const [shape, mask] = [counts.get(sideOf(words)), left.find(...words) >= 0];
    const changed = mask ? counts.remove(...words) : counts.add(...words);
    if (mask) left.delete(...words);
    else left.set(...words, 1, 0);
    const now = counts.get(sideOf(words));
    assert.equal(changed, sameShape(shape, now) ? -1 : sideOf(words));
    if (step % 100 > 0) continue;
    const whole = ShapeCounts.of(left);
    assert.deepEqual(new Set(counts.keys()), new Set(whole.keys()));
    for (const key of whole.keys()) assert.deepEqual(counts.get(key), whole.get(key));
  }
});

function sideOf([src, dst, word2]: PolicyKeyWords): number {
  const direction = word2 >>> 8 & 0xff;
  if (direction === BOTH) return 0;
  return shapeKey(direction === INGRESS ? dst : src, direction);
}
