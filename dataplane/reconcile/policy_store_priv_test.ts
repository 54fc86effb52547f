import assert from "node:assert/strict";
import { BPF_ANY } from "../../shared/ffi/bpf.ts";
import { PolicyAbsent, PolicyKeyCodec, PolicyValueCodec } from "../../shared/gen/abi.ts";
import { PolicyAction, PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { CidrIdentitiesMap } from "../maps/cidr_identities.ts";
import { DatapathStateMap } from "../maps/datapath_state.ts";
import { PoliciesMap } from "../maps/policies.ts";
import { PolicyShapesMap } from "../maps/policy_shapes.ts";
import { TableFullError } from "../maps/table_full_error.ts";
import { CidrSet } from "../policy/cidr_set.ts";
import { type PolicyKeyFields, policyKeyWords } from "../policy/policy_entry.ts";
import { PolicyTable } from "../policy/policy_table.ts";
import type { KernelObjects } from "../programs/kernel_objects.ts";
import { openTestObjects } from "../testing/kernel.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";
import { type PolicyMaps, PolicyStore } from "./policy_store.ts";

const { ALLOW, DENY } = PolicyAction;
const CIDR_A = 2 ** 24;
const CIDR_B = 2 ** 24 + 1;

function mapsOf(objects: KernelObjects) {
  return {
    policies: new PoliciesMap(objects.map("POLICIES")),
    shapes: new PolicyShapesMap(objects.map("POLICY_SHAPES")),
    cidrs: new CidrIdentitiesMap(objects.map("CIDR_IDENTITIES")),
    state: new DatapathStateMap(objects.map("DATAPATH_STATE")),
  };
}

function key(fields: Partial<PolicyKeyFields>) {
  return policyKeyWords({
    srcIdentity: 0,
    dstIdentity: 0,
    protocol: 0,
    dstPort: 0,
    direction: PolicyDirection.INGRESS,
    portPrefixLen: 0,
    isolation: false,
    ...fields,
  });
}

/** An allow entry to identity 300 for each port. */
function setOf(ports: readonly number[], action = ALLOW): PolicyTable {
  const table = new PolicyTable();
  for (const dstPort of ports) {
    table.set(...key({ dstIdentity: 300, protocol: 6, dstPort }), action, dstPort);
  }
  return table;
}

/** What a packet sees at the active generation: port to action. */
function visible(maps: PolicyMaps): Map<number, number> {
  const active = maps.state.value.policyGeneration;
  const seen = new Map<number, number>();
  for (const { words, generation, actions } of maps.policies.entries()) {
    const action = actions[(active - generation | 0) >= 0 ? 1 : 0];
    if (action !== PolicyAbsent.POLICY_ABSENT) seen.set(words[2] >>> 16, action);
  }
  return new Map([...seen].sort(([a], [b]) => a - b));
}

function visibleCidrs(maps: PolicyMaps): string[] {
  const active = maps.state.value.policyGeneration;
  return [...maps.cidrs.entries()].map(({ address, prefixLen, generation, identities }) =>
    `${address.toString(16)}/${prefixLen} ${identities[(active - generation | 0) >= 0 ? 1 : 0]}`
  ).sort();
}

async function withMaps(
  test: (
    maps: PolicyMaps,
    open: () => Promise<PolicyStore>,
    objects: KernelObjects,
  ) => Promise<void>,
  policyMax = 1024,
): Promise<void> {
  using bpffs = new PrivateBpffs();
  using objects = await openTestObjects(bpffs, { policyMax });
  await using stack = new AsyncDisposableStack();
  const maps = mapsOf(objects);
  stack.use(maps.state);
  const open = async () => {
    const store = await PolicyStore.open(maps);
    stack.defer(() => store.idle());
    return store;
  };
  await test(maps, open, objects);
}

Deno.test("sets replace each other; what is gone is deleted, shapes shrink behind", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const none = new CidrSet([]);
    assert.deepEqual(await store.sync(setOf([80, 443, 8080]), none), {
      added: 3,
      removed: 0,
      updated: 0,
    });
    const next = setOf([443, 9000]);
    next.set(...key({ dstIdentity: 300 }), DENY, 7);
    assert.deepEqual(await store.sync(next, none), { added: 2, removed: 2, updated: 0 });
    assert.deepEqual([...visible(maps).keys()], [0, 443, 9000]);
    await store.idle();
    assert.equal([...maps.policies.entries()].length, 3);
    assert.deepEqual([...maps.shapes.read().values()], [{
      exactProtocol: 1 << 16,
      anyProtocol: 1,
    }]);
    assert.deepEqual(await store.sync(new PolicyTable(), none), {
      added: 0,
      removed: 3,
      updated: 0,
    });
    await store.idle();
    assert.equal([...maps.policies.entries()].length, 0);
    assert.equal(maps.shapes.read().size, 0);
    assert.equal(store.generation, 3);
  });
});

Deno.test("an equal set changes nothing, not even the generation", async () => {
  await withMaps(async (_maps, open) => {
    const store = await open();
    await store.sync(setOf([80]), new CidrSet([]));
    const counts = await store.sync(setOf([80]), new CidrSet([]));
    assert.deepEqual(counts, { added: 0, removed: 0, updated: 0 });
    assert.equal(store.generation, 1);
  });
});

Deno.test("single entries come, change and go", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const http = key({ dstIdentity: 300, protocol: 6, dstPort: 80 });
    assert.equal((await store.upsert(http, { action: ALLOW, ruleId: 1 })).added, 1);
    assert.equal((await store.upsert(http, { action: DENY, ruleId: 1 })).updated, 1);
    assert.deepEqual([...visible(maps)], [[80, DENY]]);
    assert.equal((await store.remove(http)).removed, 1);
    assert.equal((await store.remove(http)).removed, 0);
    assert.equal(visible(maps).size, 0);
  });
});

Deno.test("wildcard and both-direction entries have their shapes in DATAPATH_STATE", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const table = new PolicyTable();
    const both = PolicyDirection.BOTH;
    table.set(...key({ srcIdentity: 1, protocol: 17, dstPort: 53 }), ALLOW, 1);
    table.set(...key({ srcIdentity: 256, dstIdentity: 300, direction: both }), ALLOW, 2);
    table.set(...key({ dstIdentity: 300, isolation: true }), DENY, 3);
    await store.sync(table, new CidrSet([]));
    await store.idle();
    assert.deepEqual(maps.state.value.wildcardShapes, [
      { exactProtocol: 0, anyProtocol: 1 },
      { exactProtocol: 1 << 16, anyProtocol: 0 },
      { exactProtocol: 0, anyProtocol: 0 },
    ]);
    assert.equal(maps.shapes.read().size, 0);
  });
});

Deno.test("address ranges switch with the set", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const ten = 0x0a000000;
    await store.sync(new PolicyTable(), new CidrSet([[ten, 8, CIDR_A]]));
    assert.equal(maps.state.value.cidrCount, 1);
    await store.sync(new PolicyTable(), new CidrSet([[ten, 8, CIDR_A], [ten, 16, CIDR_B]]));
    assert.deepEqual(visibleCidrs(maps), [`a000000/16 ${CIDR_B}`, `a000000/8 ${CIDR_A}`]);
    await store.sync(new PolicyTable(), new CidrSet([[ten, 16, CIDR_B]]));
    await store.idle();
    assert.deepEqual(visibleCidrs(maps), [`a000000/16 ${CIDR_B}`]);
    await store.sync(new PolicyTable(), new CidrSet([]));
    await store.idle();
    assert.deepEqual(visibleCidrs(maps), []);
    assert.equal(maps.state.value.cidrCount, 0);
  });
});

/** What a patch is made of: ports that come, ports that go. */
function patchOf(upserts: readonly number[], deletes: readonly number[], action = ALLOW) {
  const cidrs = { upserts: new CidrSet([]), deletes: new CidrSet([]) };
  return { upserts: setOf(upserts, action), deletes: setOf(deletes), cidrs };
}

Deno.test("patches and whole sets come to the same", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const random = new SeededRandom(3);
    const model = new Map<number, number>();
    for (let round = 0; round < 60; round++) {
      const ports = [...new Set(Array.from({ length: 6 }, () => 1 + random.below(20)))];
      const [upserts, deletes] = [ports.slice(0, 3), ports.slice(3)];
      const action = random.below(2);
      const before = store.version;
      const { added, removed } = await store.change(() => patchOf(upserts, deletes, action));
      const size = model.size;
      for (const port of upserts) model.set(port, action);
      for (const port of deletes) model.delete(port);
      assert.equal(size + added - removed, model.size);
      assert.notEqual(store.version, before);
      assert.deepEqual(visible(maps), new Map([...model].sort(([a], [b]) => a - b)));
      if (round % 7 === 0) await store.idle();
      if (round % 20 > 0) continue;
      await store.idle();
      assert.equal([...maps.policies.entries()].length, model.size);
      assert.equal(maps.shapes.read().size, Math.min(1, model.size));
    }
    const again = await open();
    assert.equal(again.table.size, model.size);
    assert.notEqual(again.version, store.version);
  });
});

Deno.test("a patch switches ranges with entries, and an empty plan changes nothing", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const ten = 0x0a000000;
    await store.sync(setOf([80]), new CidrSet([[ten, 8, CIDR_A]]));
    await store.change(() => ({
      ...patchOf([443], [80]),
      cidrs: { upserts: new CidrSet([[ten, 16, CIDR_B]]), deletes: new CidrSet([[ten, 8, 0]]) },
    }));
    assert.deepEqual([...visible(maps).keys()], [443]);
    assert.deepEqual(visibleCidrs(maps), [`a000000/16 ${CIDR_B}`, "a000000/8 0"]);
    await store.idle();
    assert.deepEqual(visibleCidrs(maps), [`a000000/16 ${CIDR_B}`]);
    assert.equal(maps.state.value.cidrCount, 1);
    const { version, generation } = store;
    assert.deepEqual(await store.change(() => undefined), { added: 0, removed: 0, updated: 0 });
    assert.deepEqual([store.version, store.generation], [version, generation]);
  });
});

Deno.test("a patch that is too large is refused whole", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const ports = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i);
    await store.sync(setOf(ports(255)), new CidrSet([]));
    await assert.rejects(store.change(() => patchOf([1000, 1001], [])), TableFullError);
    assert.equal(visible(maps).size, 255);
    // What goes makes room for what comes.
    await store.change(() => patchOf([1000, 1001], [1]));
    assert.equal(visible(maps).size, 256);
  }, 256);
});

Deno.test("too large a set is refused whole, the old one stays", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const ports = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i);
    await store.sync(setOf(ports(256)), new CidrSet([]));
    const before = visible(maps);
    await assert.rejects(
      store.sync(setOf(ports(257)), new CidrSet([])),
      (error) => error instanceof TableFullError && error.maxEntries === 256,
    );
    assert.deepEqual(visible(maps), before);
    // A set of the full size in place of another one fits: both stand in the map for a moment.
    assert.equal((await store.sync(setOf(ports(256, 1000)), new CidrSet([]))).added, 256);
  }, 256);
});

for (const phase of ["staged", "flipped"] as const) {
  Deno.test(`a dataplane killed when a set was ${phase}: the next one ${phase === "staged" ? "undoes" : "finishes"} it`, async () => {
    await withMaps(async (maps, open) => {
      const first = await open();
      await first.sync(setOf([80, 443]), new CidrSet([[0x0a000000, 8, CIDR_A]]));
      await first.idle();
      // As PolicyStore stages it: 80 goes, 443 turns to deny, 8080 comes.
      const next = maps.state.nextPolicyGeneration;
      const absent = PolicyAbsent.POLICY_ABSENT;
      const table = setOf([80, 443, 8080]);
      const versions = new Map([
        [80, [ALLOW, absent]],
        [443, [ALLOW, DENY]],
        [8080, [absent, ALLOW]],
      ]);
      for (const slot of table.slots()) {
        const keys = table.keyBytes(slot).slice();
        const actions = versions.get(table.ruleId(slot)) ?? [];
        maps.policies.write({ count: 1, keys, actions, ruleIds: [1, 2] }, next);
      }
      const cidr = { generation: next, identities: [CIDR_A, CIDR_B] } as const;
      maps.cidrs.set({ address: 0x0a0b0000, prefixLen: 16, ...cidr });
      if (phase === "flipped") maps.state.flip();
      const wanted = phase === "staged"
        ? [[80, ALLOW], [443, ALLOW]]
        : [[443, DENY], [8080, ALLOW]];
      assert.deepEqual([...visible(maps)], wanted);

      const second = await open();
      assert.deepEqual([...visible(maps)], wanted);
      assert.equal([...maps.policies.entries()].length, 2);
      assert.ok(
        [...maps.policies.entries()].every(({ generation }) =>
          (maps.state.value.policyGeneration - generation | 0) >= 0
        ),
        "nothing stays staged",
      );
      assert.equal(second.table.size, 2);
      assert.deepEqual(await second.sync(setOf([80]), new CidrSet([])), {
        added: phase === "staged" ? 0 : 1,
        removed: phase === "staged" ? 1 : 2,
        updated: phase === "staged" ? 1 : 0,
      });
      await second.idle();
      assert.deepEqual([...visible(maps).keys()], [80]);
      assert.deepEqual(visibleCidrs(maps), []);
    });
  });
}

Deno.test("a map that fills up half-way through staging: undone, and the next change works", async () => {
  await withMaps(async (maps, open, objects) => {
    const store = await open();
    await store.sync(setOf([80, 443]), new CidrSet([]));
    await store.idle();
    // Someone else's entries leave room for two more.
    const room = maps.policies.map.info().maxEntries - 2 - 2;
    const foreign = PolicyValueCodec.encode({
      generation: 0,
      action: new Uint8Array([255, 255]),
      ruleId: [0, 0],
    });
    const policyKey = (dstPort: number) =>
      PolicyKeyCodec.encode({
        srcIdentity: 9,
        dstIdentity: 9,
        protocol: 6,
        direction: 1,
        dstPort,
        prefixLen: 16,
        kind: 0,
      });
    for (let i = 0; i < room; i++) {
      objects.map("POLICIES").update(policyKey(i + 1), foreign, BPF_ANY);
    }
    await assert.rejects(store.sync(setOf([1, 2, 3, 4, 5]), new CidrSet([])), TableFullError);
    assert.deepEqual([...visible(maps).keys()], [80, 443]);
    assert.equal(
      [...maps.policies.entries()].length,
      2,
      "the absent entries are cleaned up as well",
    );
    await store.idle();
    assert.equal(maps.state.value.policyStaging, 0, "packets read without locks again");
    await store.sync(setOf([1, 2, 3]), new CidrSet([]));
    assert.deepEqual([...visible(maps).keys()], [1, 2, 3]);
  }, 256);
});

Deno.test("a set as large as may be makes room for another one as large, on other identities", async () => {
  await withMaps(async (maps, open) => {
    const store = await open();
    const setOn = (firstIdentity: number) => {
      const table = new PolicyTable();
      for (let i = 0; i < store.capacity; i++) {
        table.set(...key({ dstIdentity: firstIdentity + i, dstPort: 80 }), ALLOW, i);
      }
      return table;
    };
    for (const firstIdentity of [1000, 2000, 3000]) {
      await store.sync(setOn(firstIdentity), new CidrSet([]));
    }
    await store.idle();
    assert.equal(maps.shapes.read().size, store.capacity);
  }, 256);
});

Deno.test("60,000 entries: a full swap and a small change", async () => {
  await withMaps(async (_maps, open) => {
    const store = await open();
    const build = (action: PolicyAction) => {
      const table = new PolicyTable(60_000);
      for (let i = 0; i < 60_000; i++) {
        const words = key({ dstIdentity: 256 + (i >> 4), protocol: 6, dstPort: 1 + (i & 15) });
        table.set(...words, action, i);
      }
      return table;
    };
    const times: number[] = [];
    for (const action of [ALLOW, DENY, ALLOW]) {
      const table = build(action);
      const start = performance.now();
      await store.sync(table, new CidrSet([]));
      times.push(performance.now() - start);
      await store.idle();
    }
    assert.ok(times.every((ms) => ms < 5000), `${times} ms`);
    // A patch looks at nothing else; most of its time is two grace periods.
    const start = performance.now();
    for (let i = 0; i < 10; i++) {
      const words = key({ dstIdentity: 256 + i, protocol: 6, dstPort: 1 });
      assert.equal((await store.remove(words)).removed, 1);
      await store.idle();
    }
    const patchMs = (performance.now() - start) / 10;
    assert.ok(patchMs < 1000, `${patchMs} ms`);
    assert.equal(store.table.size, 60_000 - 10);
  }, 65_536);
});
