import assert from "node:assert/strict";
import {
  attachClsact,
  BpfProgram,
  countClsactFilters,
  detachClsact,
  queryTcx,
  TcxLink,
} from "../../shared/ffi/bpf.ts";
import { ifNametoindex } from "../../shared/ffi/sys.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { HandoverMap } from "../maps/handover.ts";
import { openTestObjects } from "../testing/kernel.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";
import { Attachments, type AttachMode, InterfaceNotFoundError } from "./attachments.ts";
import type { KernelObjects } from "./kernel_objects.ts";
import { listPins } from "./pins.ts";

const NAME = `nvta${Deno.pid % 100_000}`;
const PEER = `nvtb${Deno.pid % 100_000}`;

/** A veth pair in this namespace that stays down: no packet meets the programs. */
async function withInterface(
  mode: AttachMode,
  test: (
    attachments: Attachments,
    context: { objects: KernelObjects; links: RtnetlinkSocket; bpffs: PrivateBpffs },
  ) => Promise<void>,
): Promise<void> {
  using bpffs = new PrivateBpffs();
  using objects = await openTestObjects(bpffs);
  using links = RtnetlinkSocket.openIn();
  links.vethCreate({ name: NAME }, { name: PEER });
  try {
    await test(attachmentsOf(mode, objects, links, bpffs), { objects, links, bpffs });
  } finally {
    links.linkDelete(NAME);
  }
}

function attachmentsOf(
  mode: AttachMode,
  objects: KernelObjects,
  links: RtnetlinkSocket,
  bpffs: PrivateBpffs,
): Attachments {
  return new Attachments({
    pinDir: bpffs.path,
    mode,
    programs: { ingress: objects.program("pod_egress"), egress: objects.program("pod_ingress") },
    handover: new HandoverMap(objects.map("HANDOVER")),
    interfaces: () => links.linkList().map(({ index }) => index),
  });
}

for (const mode of ["tcx", "clsact"] as const) {
  Deno.test(`${mode}: attach and detach, each twice`, async () => {
    await withInterface(mode, async (attachments, { objects }) => {
      for (let i = 0; i < 2; i++) {
        await Promise.all([
          attachments.attach(NAME, "ingress"),
          attachments.attach(NAME, "ingress"),
          attachments.attach(NAME, "egress"),
        ]);
      }
      const listed = attachments.list().sort((a, b) => a.direction < b.direction ? -1 : 1);
      assert.deepEqual(listed, [
        {
          interfaceName: NAME,
          ifindex: ifNametoindex(NAME),
          direction: "egress",
          programId: objects.program("pod_ingress").info().id,
        },
        {
          interfaceName: NAME,
          ifindex: ifNametoindex(NAME),
          direction: "ingress",
          programId: objects.program("pod_egress").info().id,
        },
      ]);
      assert.equal(await attachments.detach(NAME, "ingress"), true);
      assert.equal(await attachments.detach(NAME, "ingress"), false);
      assert.deepEqual(attachments.list().map(({ direction }) => direction), ["egress"]);
      assert.equal(await attachments.detach(NAME, "egress"), true);
      assert.deepEqual(attachments.list(), []);
    });
  });

  Deno.test(`${mode}: an interface that is not there is named, one that has gone is forgotten`, async () => {
    await withInterface(mode, async (attachments, { links, bpffs }) => {
      await assert.rejects(
        attachments.attach("nvt-none", "ingress"),
        (error) => error instanceof InterfaceNotFoundError && error.interfaceName === "nvt-none",
      );
      assert.equal(await attachments.detach("nvt-none", "ingress"), false);
      await attachments.attach(NAME, "ingress");
      links.linkDelete(NAME);
      assert.deepEqual(attachments.list(), []);
      assert.deepEqual(listPins(bpffs.path).links, []);
      links.vethCreate({ name: NAME }, { name: PEER });
      await attachments.attach(NAME, "ingress");
      assert.equal(attachments.list().length, 1);
    });
  });

  Deno.test(`${mode}: programs of an earlier build are swapped`, async () => {
    await withInterface(mode, async (_unused, { objects, links, bpffs }) => {
      const swapped = new Attachments({
        pinDir: bpffs.path,
        mode,
        programs: {
          ingress: objects.program("pod_ingress"),
          egress: objects.program("pod_egress"),
        },
        handover: new HandoverMap(objects.map("HANDOVER")),
        interfaces: () => links.linkList().map(({ index }) => index),
      });
      await swapped.attach(NAME, "ingress");
      const present = attachmentsOf(mode, objects, links, bpffs);
      assert.equal(await present.adopt(), 1);
      const [attachment] = present.list();
      assert.equal(attachment?.programId, objects.program("pod_egress").info().id);
    });
  });
}

Deno.test("an interface that goes while programs are swapped is passed over", async () => {
  using bpffs = new PrivateBpffs();
  using links = RtnetlinkSocket.openIn();
  links.vethCreate({ name: NAME }, { name: PEER });
  using older = await openTestObjects(bpffs);
  const before = attachmentsOf("tcx", older, links, bpffs);
  await before.attach(NAME, "ingress");
  await before.attach(PEER, "ingress");
  using others = new PrivateBpffs();
  using newer = await openTestObjects(others);
  /** Goes when it is asked for the programs: after the list of interfaces was made. */
  const programs = {
    get ingress() {
      if (links.linkList().some(({ name }) => name === NAME)) links.linkDelete(NAME);
      return newer.program("pod_egress");
    },
    egress: newer.program("pod_ingress"),
  };
  const after = new Attachments({
    pinDir: bpffs.path,
    mode: "tcx",
    programs,
    handover: new HandoverMap(newer.map("HANDOVER")),
    interfaces: () => links.linkList().map(({ index }) => index),
  });
  await after.adopt();
  assert.deepEqual(after.list(), []);
});

Deno.test("tcx: other people's links stay", async () => {
  await withInterface("tcx", async (attachments, { objects }) => {
    const ifindex = ifNametoindex(NAME);
    using foreign = TcxLink.attach(objects.program("pod_ingress"), ifindex, "ingress");
    await attachments.attach(NAME, "ingress");
    assert.equal(queryTcx(ifindex, "ingress").length, 2);
    await attachments.detach(NAME, "ingress");
    assert.deepEqual(queryTcx(ifindex, "ingress").map(({ linkId }) => linkId), [foreign.info().id]);
  });
});

Deno.test("tcx: a link that someone detached is attached again", async () => {
  await withInterface("tcx", async (attachments, { bpffs }) => {
    await attachments.attach(NAME, "ingress");
    const [pin] = listPins(bpffs.path).links;
    {
      using link = TcxLink.openPinned(`${bpffs.path}/${pin?.file}`);
      link.detach();
    }
    await attachments.attach(NAME, "ingress");
    assert.equal(queryTcx(ifNametoindex(NAME), "ingress").length, 1);
    assert.equal(attachments.list().length, 1);
  });
});

Deno.test("clsact: filters with programs of another dataplane are not ours", async () => {
  await withInterface("clsact", async (attachments) => {
    using otherBpffs = new PrivateBpffs();
    using other = await openTestObjects(otherBpffs);
    const ifindex = ifNametoindex(NAME);
    attachClsact(other.program("pod_egress"), ifindex, "ingress");
    assert.deepEqual(attachments.list(), []);
    assert.equal(await attachments.detach(NAME, "ingress"), false);
    assert.equal(countClsactFilters(ifindex, "ingress"), 1);
    using program = BpfProgram.byId(other.program("pod_egress").info().id);
    assert.equal(program.name, "pod_egress");
    detachClsact(ifindex, "ingress", { removeQdisc: true });
  });
});

const filters = (ifindex: number) =>
  (["ingress", "egress"] as const).map((direction) => countClsactFilters(ifindex, direction));
const tcxPrograms = (ifindex: number) =>
  (["ingress", "egress"] as const).map((direction) => queryTcx(ifindex, direction).length);

Deno.test("tcx, quick: a filter at once, which moves to TCX at the next call", async () => {
  await withInterface("tcx", async (attachments, { links }) => {
    const ifindex = ifNametoindex(NAME);
    for (const direction of ["ingress", "egress"] as const) {
      await attachments.attach(NAME, direction, true);
      await attachments.attach(NAME, direction, true);
    }
    assert.deepEqual([filters(ifindex), tcxPrograms(ifindex)], [[1, 1], [0, 0]]);
    assert.equal(attachments.list().length, 2);
    await attachments.attach(NAME, "ingress");
    assert.deepEqual([filters(ifindex), tcxPrograms(ifindex)], [[0, 1], [1, 0]]);
    assert.equal(attachments.list().length, 2);
    await attachments.attach(NAME, "egress");
    assert.deepEqual([filters(ifindex), tcxPrograms(ifindex)], [[0, 0], [1, 1]]);
    assert.equal(links.qdiscList(ifindex).length, 1, "the interface is not stopped to take it off");
    await attachments.attach(NAME, "ingress", true);
    assert.deepEqual(tcxPrograms(ifindex), [1, 1], "what has TCX keeps it");
    assert.equal(attachments.list().length, 2);
  });
});

Deno.test("tcx, quick: filters are taken off, forgotten, and found again by the next dataplane", async () => {
  await withInterface("tcx", async (attachments, { objects, links, bpffs }) => {
    const ifindex = ifNametoindex(NAME);
    await attachments.attach(NAME, "ingress", true);
    await attachments.attach(NAME, "egress", true);
    assert.equal(await attachments.detach(NAME, "egress"), true);
    const next = attachmentsOf("tcx", objects, links, bpffs);
    assert.equal(await next.adopt(), 1);
    assert.deepEqual([filters(ifindex), tcxPrograms(ifindex)], [[1, 0], [0, 0]]);
    await next.attach(NAME, "ingress");
    assert.deepEqual(tcxPrograms(ifindex), [1, 0]);
    links.linkDelete(NAME);
    assert.deepEqual(next.list(), []);
  });
});

Deno.test("tcx, quick: a dataplane that dies between TCX and filter leaves what the next one finishes", async () => {
  await withInterface("tcx", async (attachments, { objects, links, bpffs }) => {
    const ifindex = ifNametoindex(NAME);
    await attachments.attach(NAME, "ingress");
    attachClsact(objects.program("pod_egress"), ifindex, "ingress");
    new HandoverMap(objects.map("HANDOVER")).begin(ifindex);
    const next = attachmentsOf("tcx", objects, links, bpffs);
    assert.equal(await next.adopt(), 1);
    assert.deepEqual([filters(ifindex), tcxPrograms(ifindex)], [[0, 0], [1, 0]]);
    assert.deepEqual(objects.map("HANDOVER").lookup(new Uint8Array(4)), new Uint8Array(4));
  });
});
