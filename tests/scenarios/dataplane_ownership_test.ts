import assert from "node:assert/strict";
import { join } from "node:path";
import { readAsset } from "../../shared/ffi/assets.ts";
import {
  BpfObject,
  type BpfProgram,
  type Direction,
  queryTcx,
  TcxLink,
  tcxSupported,
} from "../../shared/ffi/bpf.ts";
import { AttachType, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { attachmentOf, type LabNode } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

const DIRECTIONS: readonly (readonly [Direction, AttachType])[] = [
  ["ingress", AttachType.ATTACH_TC_INGRESS],
  ["egress", AttachType.ATTACH_TC_EGRESS],
];

/** A program that is not the dataplane's, although it does the same: loaded by this test, with maps of its own. */
function foreignProgram(stack: DisposableStack): BpfProgram {
  using object = BpfObject.open(readAsset("datapath.bpf.o"));
  for (const name of object.programs()) object.setAutoload(name, name === "pod_ingress");
  object.load();
  return stack.use(object.program("pod_ingress").dup());
}

function runDataplane(node: LabNode, ...flags: string[]) {
  return node.netns.try([node.executable("novanet-dataplane"), ...flags], { timeoutMs: 20_000 });
}

scenario("what is not the dataplane's stays", {}, async ({ lab, node, step }) => {
  const pod = await node.addPod("web");
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  lab.addVeth({ netns: node.netns, name: "shared0" }, { netns: node.outside, name: "peer0" });
  using links = node.netns.rtnetlink();
  const { index } = links.linkGet("shared0");
  const attachedTo = (ifindex: number, direction: Direction) =>
    inNetns(
      node.netns.path,
      () => tcxSupported() ? queryTcx(ifindex, direction).map(({ progId }) => progId) : [],
    );
  const attached = (direction: Direction) => attachedTo(index, direction);
  const filters = async () => {
    const shown = await Promise.all(
      DIRECTIONS.map(([direction]) =>
        node.netns.run(["tc", "filter", "show", "dev", "shared0", direction, "prio", "7"])
      ),
    );
    return shown.map(({ stdout }) => stdout);
  };
  const ours = async () =>
    (await dataplane.getDataplaneStatus({})).programs.filter((program) =>
      program.interfaceName === "shared0"
    );
  const attach = () =>
    Promise.all(
      DIRECTIONS.map(([, attachType]) =>
        dataplane.attachProgram({ interfaceName: "shared0", attachType })
      ),
    );
  const detach = () =>
    Promise.all(
      DIRECTIONS.map(([, attachType]) =>
        dataplane.detachProgram({ interfaceName: "shared0", attachType })
      ),
    );

  await node.netns.run(["tc", "qdisc", "add", "dev", "shared0", "clsact"]);
  for (const [direction] of DIRECTIONS) {
    await node.netns.run([
      ...["tc", "filter", "add", "dev", "shared0", direction, "prio", "7", "protocol", "ip"],
      ...["u32", "match", "ip", "dport", "7777", "0xffff", "flowid", "1:1"],
    ]);
  }
  using stack = new DisposableStack();
  const foreign = tcxSupported() ? foreignProgram(stack) : undefined;
  for (const [direction] of DIRECTIONS) {
    if (foreign === undefined) continue;
    stack.use(inNetns(node.netns.path, () => TcxLink.attach(foreign, index, direction)));
  }
  const theirFilters = await filters();
  assert(theirFilters.every((shown) => shown.includes("u32")));
  const theirs = foreign === undefined ? [] : [foreign.info().id];

  await step("programs are attached beside others, as often as one asks", async () => {
    await attach();
    const first = await ours();
    assert.deepEqual(first.map(({ attachType }) => attachType).sort(), ["egress", "ingress"]);
    await attach();
    assert.deepEqual(await ours(), first);
    for (const { attachType, programId } of first) {
      const expected = foreign === undefined ? [] : [programId, ...theirs];
      assert.deepEqual(attached(attachType as Direction), expected, "ours is the first");
    }
    assert.deepEqual(await filters(), theirFilters);
  });

  await step("a restart attaches nothing twice", async () => {
    const before = await ours();
    await node.dataplane.kill();
    await node.startDataplane();
    assert.deepEqual(await ours(), before);
    for (const [direction] of DIRECTIONS) {
      assert.equal(attached(direction).length, foreign === undefined ? 0 : 2);
    }
  });

  await step("and detached without the others, as often as one asks", async () => {
    for (let time = 0; time < 2; time++) {
      await detach();
      assert.deepEqual(await ours(), []);
      for (const [direction] of DIRECTIONS) assert.deepEqual(attached(direction), theirs);
      assert.deepEqual(await filters(), theirFilters);
    }
  });

  await step("an interface that does not exist is NOT_FOUND", async () => {
    await assert.rejects(
      dataplane.attachProgram({ interfaceName: "nobody0", attachType: 0 }),
      (error) => error instanceof RpcError && error.code === RpcCode.NOT_FOUND,
    );
  });

  await step("a second dataplane on the same pins or the same socket is refused", async () => {
    const own = `--pin-dir=${node.pinDir}`;
    const other = `--pin-dir=${join(node.dir, "bpf", "other")}`;
    const socket = `--socket=${node.socket("dataplane.sock")}`;
    const refused = [
      [own, `--socket=${node.socket("second.sock")}`],
      [other, socket],
      [own, socket],
      [own, socket, "--cleanup"],
    ];
    for (const flags of refused) {
      const { code, stderr } = await runDataplane(node, ...flags);
      assert.notEqual(code, 0, flags.join(" "));
      assert.match(stderr, /is in use by (process \d+|another novanet-dataplane)/);
    }
    await ping(node.netns, pod.ip);
    assert.equal((await dataplane.getDataplaneStatus({})).programs.length, 2);
  });

  await step("another dataplane with pins and socket of its own does not disturb", async () => {
    const flags = [
      `--pin-dir=${join(node.dir, "bpf", "other")}`,
      `--socket=${node.socket("other.sock")}`,
    ];
    const other = lab.own(node.netns.start([node.executable("novanet-dataplane"), ...flags]));
    const status = node.client(DataplaneControl, "other.sock");
    const seen = await eventually(() => status.getDataplaneStatus({}).catch(() => undefined), {
      timeoutMs: 15_000,
    });
    assert.deepEqual([seen.endpointCount, seen.programs.length], [0, 0]);
    other.signal("SIGTERM");
    assert.equal((await other.wait()).code, 0);
    assert.equal((await runDataplane(node, ...flags, "--cleanup")).code, 0);
    await ping(node.netns, pod.ip);
    assert.equal((await dataplane.getDataplaneStatus({})).programs.length, 2);
  });

  await step("--cleanup removes all that is the dataplane's and nothing else", async () => {
    await attach();
    for (const daemon of node.daemons) await daemon.kill();
    const flags = [
      `--pin-dir=${node.pinDir}`,
      `--socket=${node.socket("dataplane.sock")}`,
      "--cleanup",
      "--pods=unfiltered",
    ];
    const { code, stderr } = await runDataplane(node, ...flags);
    assert.equal(code, 0, stderr);
    for (const [direction] of DIRECTIONS) assert.deepEqual(attached(direction), theirs);
    assert.deepEqual(await filters(), theirFilters);
    // Files are the kernel's own.
    const folders = [...Deno.readDirSync(join(node.dir, "bpf"))].filter((each) => each.isDirectory);
    assert.deepEqual(folders, [], "no pins, and no folder");
    const left = Array.from(Deno.readDirSync(join(node.dir, "run")), ({ name }) => name);
    assert.deepEqual(left.filter((name) => name.startsWith("dataplane.")), []);
    const host = links.linkList().filter(({ name }) => name.startsWith("nv"));
    for (const { index } of host) {
      for (const [direction] of DIRECTIONS) {
        assert.deepEqual(attachedTo(index, direction), []);
      }
    }
    const again = await runDataplane(node, ...flags);
    assert.equal(again.code, 0, "a second time there is nothing to do");
  });

  await step("after that a start is as the first one", async () => {
    await node.start();
    const check = await node.cni("CHECK", attachmentOf(pod), { prevResult: pod.result });
    assert.equal(check.code, 0, check.stdout);
    await ping(node.netns, pod.ip);
  });
});
