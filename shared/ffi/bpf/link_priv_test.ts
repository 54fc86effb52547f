import assert from "node:assert/strict";
import { inNetns } from "../../netns/netns.ts";
import { eventually } from "../../testing/eventually.ts";
import { NetnsLab } from "../../testing/lab.ts";
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { ifNametoindex } from "../sys.ts";
import { type Direction, queryTcx, TcxLink, tcxSupported } from "./link.ts";
import { BpfObject } from "./object.ts";
import { privateBpffs } from "./testdata/bpffs.ts";
import { compileBpf } from "./testdata/compile.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const sample = await compileBpf("sample.bpf.c");
// Linux 6.6 and later have it.
const ignore = !tcxSupported();

function code(expected: string) {
  return (error: unknown) => error instanceof SysError && error.code === expected;
}

function programs() {
  using object = BpfObject.open(sample);
  object.load();
  const stack = new DisposableStack();
  const first = stack.use(object.program("first"));
  const second = stack.use(object.program("second"));
  return {
    first,
    second,
    ids: [first.info().id, second.info().id] as const,
    [Symbol.dispose]: () => stack.dispose(),
  };
}

for (const direction of ["ingress", "egress"] satisfies Direction[]) {
  Deno.test(
    `a tcx ${direction} link attaches, swaps its program and detaches`,
    { ignore },
    async () => {
      await using lab = new NetnsLab();
      const netns = await lab.addNetns();
      using loaded = programs();
      inNetns(netns.path, () => {
        const ifindex = ifNametoindex("lo");
        using link = TcxLink.attach(loaded.first, ifindex, direction);
        const { id, ...info } = link.info();
        assert.deepEqual(info, { progId: loaded.ids[0], ifindex, attach: direction });
        assert.deepEqual(queryTcx(ifindex, direction), [{ progId: loaded.ids[0], linkId: id }]);

        link.update(loaded.second);
        assert.equal(link.info().progId, loaded.ids[1]);
        using other = TcxLink.attach(loaded.first, ifindex, direction);
        assert.deepEqual(queryTcx(ifindex, direction), [
          { progId: loaded.ids[0], linkId: other.info().id },
          { progId: loaded.ids[1], linkId: id },
        ]);

        link.detach();
        assert.equal(link.info().ifindex, 0);
        assert.equal(queryTcx(ifindex, direction).length, 1);
      });
    },
  );
}

Deno.test(
  "a pinned tcx link outlives its descriptor and goes with its pin",
  { ignore },
  async () => {
    await using lab = new NetnsLab();
    const netns = await lab.addNetns();
    using bpffs = privateBpffs();
    using loaded = programs();
    const path = `${bpffs.path}/link`;
    inNetns(netns.path, () => {
      const ifindex = ifNametoindex("lo");
      const link = TcxLink.attach(loaded.first, ifindex, "ingress");
      const { id } = link.info();
      link.pin(path);
      link.close();
      assert.throws(() => link.info(), UseAfterCloseError);
      {
        using again = TcxLink.openPinned(path);
        assert.equal(again.info().id, id);
        using byId = TcxLink.byId(id);
        assert.deepEqual(byId.info(), again.info());
      }
      assert.equal(queryTcx(ifindex, "ingress").length, 1);
    });
    {
      using link = TcxLink.openPinned(path);
      assert.deepEqual(await TcxLink.pinnedInfo(path), link.info());
    }
    Deno.removeSync(path);
    await eventually(() => inNetns(netns.path, () => queryTcx(1, "ingress").length === 0));
  },
);

Deno.test("a tcx link refuses what is not there", { ignore }, async () => {
  using loaded = programs();
  using bpffs = privateBpffs();
  assert.throws(() => TcxLink.attach(loaded.first, 0x7ffffff0, "ingress"), code("ENODEV"));
  assert.throws(() => TcxLink.openPinned(`${bpffs.path}/none`), code("ENOENT"));
  loaded.first.pin(`${bpffs.path}/program`);
  assert.throws(() => TcxLink.openPinned(`${bpffs.path}/program`), code("EINVAL"));
  await assert.rejects(TcxLink.pinnedInfo(`${bpffs.path}/none`), code("ENOENT"));
  await assert.rejects(TcxLink.pinnedInfo(`${bpffs.path}/program`), code("EINVAL"));
});
