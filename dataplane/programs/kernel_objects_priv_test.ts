import assert from "node:assert/strict";
import { BpfMap, MapType } from "../../shared/ffi/bpf.ts";
import { readAsset } from "../../shared/ffi/assets.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { Attachments } from "./attachments.ts";
import type { DatapathState } from "../../shared/gen/abi.ts";
import { DatapathStateMap } from "../maps/datapath_state.ts";
import { HandoverMap } from "../maps/handover.ts";
import { openTestObjects, SMALL } from "../testing/kernel.ts";
import { Connections } from "../maps/connections.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";
import { KernelObjects, MissingMapError, removeOldPrograms } from "./kernel_objects.ts";
import { PinMismatchError } from "./pinned_maps.ts";
import { listPins, mapPin, PROGRAM_NAMES, programPin } from "./pins.ts";

const MAP_NAMES = ["CONNTRACK", "CONFIG", "DATAPATH_STATE", "ENDPOINTS", "FLOW_EVENTS", "POLICIES"];

function ids(objects: KernelObjects): Record<string, number> {
  return Object.fromEntries([
    ...MAP_NAMES.map((name) => [name, objects.map(name).info().id] as const),
    ...PROGRAM_NAMES.map((name) => [name, objects.program(name).info().id] as const),
  ]);
}

function connectionCapacity(objects: KernelObjects): number {
  return new Connections((name) => objects.map(name), objects.program("connection")).capacity;
}

Deno.test("what is pinned is adopted: the same maps and programs, no load", async () => {
  using bpffs = new PrivateBpffs();
  let before: Record<string, number>;
  {
    using first = await openTestObjects(bpffs);
    assert.equal(first.adopted, false);
    before = ids(first);
  }
  using second = await openTestObjects(bpffs, { conntrackMax: 2048 });
  assert.equal(second.adopted, true);
  assert.deepEqual(ids(second), before);
  assert.equal(connectionCapacity(second), SMALL.conntrackMax, "sizes stay");
});

Deno.test("sizes are those asked for; policy maps hold two sets", async () => {
  using bpffs = new PrivateBpffs();
  using objects = await openTestObjects(bpffs, { conntrackMax: 2048, flowRingBytes: 131_072 });
  const size = (map: string) => objects.map(map).info().maxEntries;
  assert.equal(connectionCapacity(objects), 2048);
  assert.equal(size("FLOW_EVENTS"), 131_072);
  assert.equal(size("ENDPOINTS"), SMALL.endpointMax);
  assert.equal(size("FRAGMENTS"), SMALL.fragmentMax);
  assert.equal(size("POLICIES"), SMALL.policyMax * 2);
  assert.throws(() => objects.map("NONE"), MissingMapError);
});

// As a process leaves it that dies while it pins: maps come first, then programs.
const INTERRUPTED: [name: string, lost: (pinDir: string, hash: string) => string[]][] = [
  ["one program", (dir, hash) => [programPin(dir, "collect_garbage", hash)]],
  ["all programs", (dir, hash) => PROGRAM_NAMES.map((name) => programPin(dir, name, hash))],
  ["a map and all programs", (dir, hash) => [
    mapPin(dir, "STATISTICS"),
    ...PROGRAM_NAMES.map((name) => programPin(dir, name, hash)),
  ]],
  ["a map alone", (dir) => [mapPin(dir, "POLICIES")]],
];

for (const [name, lost] of INTERRUPTED) {
  Deno.test(`${name} not pinned: made anew, all programs use the pinned maps`, async () => {
    using bpffs = new PrivateBpffs();
    let before: Record<string, number>;
    {
      using first = await openTestObjects(bpffs);
      before = ids(first);
      for (const path of lost(bpffs.path, first.objectHash)) Deno.removeSync(path);
    }
    using second = await openTestObjects(bpffs);
    assert.equal(second.adopted, false);
    const after = ids(second);
    assert.equal(after.CONNTRACK, before.CONNTRACK);
    assert.equal(listPins(bpffs.path).programs.length, PROGRAM_NAMES.length);
    for (const program of ["pod_egress", "pod_ingress"] as const) {
      const used = second.program(program).mapIds();
      assert.ok(used.includes(after.POLICIES ?? 0), `${program} uses the pinned POLICIES`);
      assert.ok(used.includes(after.CONNTRACK ?? 0));
    }
    using third = await openTestObjects(bpffs);
    assert.equal(third.adopted, true);
  });
}

Deno.test("state that was never fitted to the maps: the next start does it", async () => {
  using bpffs = new PrivateBpffs();
  const fitted = ({ conntrackGroups, conntrackSeed, fragmentQuota }: DatapathState) => ({
    conntrackGroups,
    conntrackSeed,
    fragmentQuota,
  });
  const unfitted = { conntrackGroups: 0, conntrackSeed: [0, 0], fragmentQuota: 0 };
  let before: DatapathState;
  {
    using first = await openTestObjects(bpffs);
    using state = new DatapathStateMap(first.map("DATAPATH_STATE"));
    before = state.value;
    state.write(unfitted);
  }
  using second = await openTestObjects(bpffs);
  assert.equal(second.adopted, true);
  using state = new DatapathStateMap(second.map("DATAPATH_STATE"));
  const after = fitted(state.value);
  assert.ok(after.conntrackSeed.some((word) => word !== 0));
  assert.deepEqual(after, { ...fitted(before), conntrackSeed: after.conntrackSeed });
});

Deno.test("a pinned map of another shape is refused, and named", async () => {
  using bpffs = new PrivateBpffs();
  const shape = { name: "POLICIES", type: MapType.HASH, keySize: 4, valueSize: 4, maxEntries: 1 };
  using foreign = BpfMap.create(shape);
  foreign.pin(mapPin(bpffs.path, "POLICIES"));
  await assert.rejects(
    openTestObjects(bpffs),
    (error) =>
      error instanceof PinMismatchError && error.path === mapPin(bpffs.path, "POLICIES") &&
      /key 4.*key 16/.test(error.message),
  );
});

Deno.test("another build: its programs take over the maps and the hooks, the old ones go", async () => {
  using bpffs = new PrivateBpffs();
  using links = RtnetlinkSocket.openIn();
  const name = `nvtk${Deno.pid % 100_000}`;
  links.vethCreate({ name }, { name: `${name}p` });
  try {
    using first = await openTestObjects(bpffs);
    await attachmentsOf(first, bpffs).attach(name, "ingress");
    const elf = readAsset("datapath.bpf.o");
    const other = new Uint8Array(elf.length + 8);
    other.set(elf);
    using second = await openTestObjects(bpffs, {}, other);
    assert.equal(second.adopted, false);
    assert.equal(second.map("CONNTRACK").info().id, first.map("CONNTRACK").info().id);
    const attachments = attachmentsOf(second, bpffs);
    assert.equal(await attachments.adopt(), 1);
    removeOldPrograms(bpffs.path, second.objectHash);
    const programId = second.program("pod_egress").info().id;
    assert.deepEqual(attachments.list().map((each) => each.programId), [programId]);
    const hashes = new Set(listPins(bpffs.path).programs.map(({ objectHash }) => objectHash));
    assert.deepEqual([...hashes], [second.objectHash]);
  } finally {
    links.linkDelete(name);
  }
});

function attachmentsOf(objects: KernelObjects, bpffs: PrivateBpffs): Attachments {
  return new Attachments({
    pinDir: bpffs.path,
    mode: "tcx",
    programs: { ingress: objects.program("pod_egress"), egress: objects.program("pod_ingress") },
    handover: new HandoverMap(objects.map("HANDOVER")),
    interfaces: () => [],
  });
}

Deno.test("pins of other builds are removed, those of this one stay", async () => {
  using bpffs = new PrivateBpffs();
  using objects = await openTestObjects(bpffs);
  objects.program("pod_egress").pin(programPin(bpffs.path, "pod_egress", "00000000"));
  removeOldPrograms(bpffs.path, objects.objectHash);
  const hashes = listPins(bpffs.path).programs.map(({ objectHash }) => objectHash);
  assert.deepEqual(hashes, PROGRAM_NAMES.map(() => objects.objectHash));
});
