import assert from "node:assert/strict";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { policyKeyWords } from "./policy_entry.ts";
import {
  mergeShapes,
  NO_SHAPE,
  sameShape,
  shapeKey,
  shapesOf,
  splitShapeKey,
} from "./policy_shapes.ts";
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
  const { selected, wildcard } = shapesOf(table);
  assert.deepEqual(
    selected,
    new Map([
      [shapeKey(300, INGRESS), { exactProtocol: 1 << 16 | 1 << 4, anyProtocol: 1 }],
      [shapeKey(256, EGRESS), { exactProtocol: 1, anyProtocol: 0 }],
    ]),
  );
  assert.deepEqual(wildcard, [
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

Deno.test("merging and comparing", () => {
  const a = { exactProtocol: 1, anyProtocol: 2 };
  const b = { exactProtocol: 4, anyProtocol: 2 };
  assert.deepEqual(mergeShapes(a, b), { exactProtocol: 5, anyProtocol: 2 });
  assert.ok(sameShape(mergeShapes(a, NO_SHAPE), a));
  assert.ok(!sameShape(a, b));
});
