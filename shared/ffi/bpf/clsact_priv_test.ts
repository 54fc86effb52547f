import assert from "node:assert/strict";
import { inNetns } from "../../netns/netns.ts";
import { type LabNetns, NetnsLab } from "../../testing/lab.ts";
import { SysError } from "../errno.ts";
import { shim } from "../library.ts";
import { attachClsact, countClsactFilters, detachClsact, queryClsact } from "./clsact.ts";
import type { Direction } from "./link.ts";
import { BpfObject } from "./object.ts";
import { privateBpffs } from "./testdata/bpffs.ts";
import { compileBpf } from "./testdata/compile.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const sample = await compileBpf("sample.bpf.c");
const LO = 1;

async function hasQdisc(netns: LabNetns): Promise<boolean> {
  return (await netns.run(["tc", "qdisc", "show", "dev", "lo"])).stdout.includes("clsact");
}

function programs() {
  using object = BpfObject.open(sample);
  object.load();
  const stack = new DisposableStack();
  return {
    first: stack.use(object.program("first")),
    second: stack.use(object.program("second")),
    [Symbol.dispose]: () => stack.dispose(),
  };
}

for (const direction of ["ingress", "egress"] satisfies Direction[]) {
  Deno.test(`a clsact ${direction} filter attaches, swaps its program and detaches`, async () => {
    await using lab = new NetnsLab();
    const netns = await lab.addNetns();
    using loaded = programs();
    inNetns(netns.path, () => {
      assert.equal(queryClsact(LO, direction), undefined);
      assert.equal(detachClsact(LO, direction), false);
      assert.deepEqual(attachClsact(loaded.first, LO, direction), { createdQdisc: true });
      assert.deepEqual(attachClsact(loaded.second, LO, direction), { createdQdisc: false });
      assert.equal(queryClsact(LO, direction), loaded.second.info().id);
      assert.equal(countClsactFilters(LO, direction), 1);
      assert.equal(detachClsact(LO, direction, { removeQdisc: true }), true);
      assert.equal(queryClsact(LO, direction), undefined);
    });
    assert.equal(await hasQdisc(netns), false);
  });
}

Deno.test("both directions share the qdisc, which goes with the last", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using loaded = programs();
  inNetns(netns.path, () => {
    attachClsact(loaded.first, LO, "ingress");
    attachClsact(loaded.first, LO, "egress");
    detachClsact(LO, "ingress", { removeQdisc: true });
    assert.equal(countClsactFilters(LO, "egress"), 1);
  });
  assert.equal(await hasQdisc(netns), true);
});

for (const priority of ["1", "7"]) {
  Deno.test(`other people's filters of priority ${priority} and their qdisc stay`, async () => {
    await using lab = new NetnsLab();
    const netns = await lab.addNetns();
    using bpffs = privateBpffs();
    using loaded = programs();
    loaded.second.pin(`${bpffs.path}/theirs`);
    await netns.run(["tc", "qdisc", "add", "dev", "lo", "clsact"]);
    // deno-fmt-ignore
    await netns.run([
      "tc", "filter", "add", "dev", "lo", "ingress", "prio", priority, "protocol", "all",
      "bpf", "direct-action", "object-pinned", `${bpffs.path}/theirs`,
    ]);
    inNetns(netns.path, () => {
      assert.equal(queryClsact(LO, "ingress"), undefined);
      assert.deepEqual(attachClsact(loaded.first, LO, "ingress"), { createdQdisc: false });
      assert.equal(queryClsact(LO, "ingress"), loaded.first.info().id);
      assert.equal(countClsactFilters(LO, "ingress"), 2);
      detachClsact(LO, "ingress", { removeQdisc: true });
      assert.equal(countClsactFilters(LO, "ingress"), 1);
    });
    const { stdout } = await netns.run(["tc", "filter", "show", "dev", "lo", "ingress"]);
    assert.match(stdout, new RegExp(`pref ${priority} bpf .*\\btheirs\\b`));
  });
}

Deno.test("a failed attach takes its qdisc away again", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using object = BpfObject.open(sample);
  object.load();
  using wrongType = object.program("emit");
  inNetns(netns.path, () => {
    assert.throws(() => attachClsact(wrongType, LO, "ingress"), SysError);
  });
  assert.equal(await hasQdisc(netns), false);
});

Deno.test("an interface that is not there is an error", () => {
  using loaded = programs();
  assert.throws(() => attachClsact(loaded.first, 0x7ffffff0, "ingress"), SysError);
});
