import assert from "node:assert/strict";
import { BpfMap, BpfObject, MapType, possibleCpus } from "../../shared/ffi/bpf.ts";
import { compileC } from "../../shared/ffi/bpf/testdata/compile.ts";
import {
  CidrKeyCodec,
  CidrValueCodec,
  type ConntrackEntry,
  ConntrackKeyCodec,
  ConntrackSlotCodec,
  EndpointValueCodec,
  PolicyKeyCodec,
  PolicyValueLayout,
} from "../../shared/gen/abi.ts";
import { u32Key, viewOf } from "../maps/bytes.ts";
import { Connections } from "../maps/connections.ts";
import type { KernelObjects } from "../programs/kernel_objects.ts";
import { LAYOUT_VERSION, listPins, mapPin, sealPath } from "../programs/pins.ts";
import { openTestObjects, SMALL } from "../testing/kernel.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";
import { MigrationError } from "./map_transfer.ts";

const LIB = new URL("../../bpf/lib", import.meta.url).pathname;
const HEADER = (await Deno.readTextFile(`${LIB}/maps.h`)).replace("#pragma once", "");
const OLD = 0;

type Change = readonly [pattern: RegExp, replacement: string];

/** What an earlier version may have been: each is narrower, or elsewhere, than what is there now. */
const EARLIER: readonly Change[] = [
  [/(struct conntrack_entry \{\n\tstruct conntrack_key key;\n)\t__u32 last_seen;.*\n/, "$1"],
  [/\t__u8 state;\n\t__u8 flags;\n/, "\t__u32 last_seen;\n\t__u8 flags;\n\t__u8 state;\n"],
  [/conntrack_entry, identity\) == 64/, "conntrack_entry, identity) == 68"],
  [/sizeof\(struct conntrack_slot\) == 128/, "sizeof(struct conntrack_slot) == 136"],
  [/\t__u32 generation; +\/\* from which.*\n/, "\t__u16 generation;\n"],
  [/(struct cidr_value \{\n)\t__u32 generation;\n(.*\n)/, "$1$2\t__u32 generation;\n"],
  [/\t__u32 node_ip;\n/, ""],
  [/STATISTICS_COUNT = \d+/, "STATISTICS_COUNT = 8"],
];

const keyOf = (port: number) => ({ ipA: 1, ipB: 2, portA: port, portB: 53, protocol: 17 });

/** Pins maps as an object of that header has them, under an earlier version. */
async function pinEarlier(pinDir: string, changes: readonly Change[]): Promise<void> {
  let text = HEADER;
  for (const [pattern, replacement] of changes) {
    const changed = text.replace(pattern, replacement);
    assert.notEqual(changed, text, `maps.h has no ${pattern}`);
    text = changed;
  }
  using object = BpfObject.open(await compileC(text, ["-nostdinc", `-I${LIB}`]));
  for (const name of ["CONNTRACK", "POLICIES"]) object.setMaxEntries(name, 256);
  object.load();
  for (const name of object.maps().filter((name) => !name.includes("."))) {
    using map = object.map(name);
    map.pin(mapPin(pinDir, name, OLD));
  }
}

const openOld = (pinDir: string, name: string) => BpfMap.openPinned(mapPin(pinDir, name, OLD));

/** Bytes of an earlier struct. */
function bytes(size: number, write: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(size);
  write(viewOf(value));
  return value;
}

/** A slot with the connection of a port: its packets, last_seen and state, where EARLIER has them. */
const oldConnection = (port: number, packets: number, lastSeen: number, state: number) =>
  bytes(136, (view) => {
    new Uint8Array(view.buffer).set(ConntrackKeyCodec.encode(keyOf(port)));
    view.setBigUint64(32, BigInt(packets) * 100n, true);
    view.setUint32(48, packets, true);
    view.setUint32(60, lastSeen, true);
    view.setUint8(64, 1);
    view.setUint8(65, state);
  });

function connection(objects: KernelObjects, port: number): ConntrackEntry | undefined {
  const table = new Connections((name) => objects.map(name), objects.program("connection"));
  return table.find(keyOf(port));
}

/** Writes to the connection of a port, as the programs do. */
function change(objects: KernelObjects, port: number, to: Partial<ConntrackEntry>): void {
  const slots = objects.map("CONNTRACK");
  for (const [index, value] of slots.entries()) {
    const { entry } = ConntrackSlotCodec.decode(value);
    if (entry.key.ipA === 0 || entry.key.portA !== port) continue;
    slots.update(index, ConntrackSlotCodec.encode({ entry: { ...entry, ...to } }));
    return;
  }
  assert.fail(`no connection of port ${port}`);
}

const changeOver = () => Promise.resolve();
const versions = (
  pinDir: string,
) => [...new Set(listPins(pinDir).maps.map(({ version }) => version))];

Deno.test("maps of an earlier layout are taken over, whatever their type", async () => {
  using bpffs = new PrivateBpffs();
  await pinEarlier(bpffs.path, EARLIER);
  const policy = { srcIdentity: 300, dstIdentity: 301, protocol: 6, direction: 1, dstPort: 80 };
  const policyKey = PolicyKeyCodec.encode({ ...policy, prefixLen: 16, kind: 0 });
  const cidrKey = CidrKeyCodec.encode({ prefixLen: 8, addressBe: Uint8Array.of(10, 0, 0, 0) });
  let fragments: number;
  {
    using conntrack = openOld(bpffs.path, "CONNTRACK");
    using policies = openOld(bpffs.path, "POLICIES");
    using cidrs = openOld(bpffs.path, "CIDR_IDENTITIES");
    using endpoints = openOld(bpffs.path, "ENDPOINTS");
    using statistics = openOld(bpffs.path, "STATISTICS");
    using fragmentMap = openOld(bpffs.path, "FRAGMENTS");
    fragments = fragmentMap.info().id;
    for (let port = 0; port < 200; port++) {
      conntrack.update(u32Key(port), oldConnection(port, port, 7, 2));
    }
    policies.update(
      policyKey,
      bytes(policies.info().valueSize, (view) => {
        view.setUint16(4, 0xfedc, true);
        view.setUint8(6, 255);
        view.setUint8(7, 1);
        view.setUint32(16, 77, true);
      }),
    );
    cidrs.update(
      cidrKey,
      bytes(12, (view) => {
        view.setUint32(4, 1 << 24, true);
        view.setUint32(8, 9, true);
      }),
    );
    endpoints.update(
      u32Key(5),
      bytes(endpoints.info().valueSize, (view) => {
        view.setUint32(0, 5, true);
        view.setUint32(16, 300, true);
      }),
    );
    const perCpu = new BigUint64Array(possibleCpus()).map((_, cpu) => BigInt(cpu) + 40n);
    statistics.update(u32Key(2), new Uint8Array(perCpu.buffer));
  }

  using objects = await openTestObjects(bpffs);
  const { rules, endpoint, cidr } = {
    rules: objects.map("POLICIES").lookup(policyKey),
    endpoint: objects.map("ENDPOINTS").lookup(u32Key(5)),
    cidr: objects.map("CIDR_IDENTITIES").lookup(cidrKey),
  };
  assert(rules && endpoint && cidr);
  const { generation, action, ruleId } = PolicyValueLayout;
  assert.equal(viewOf(rules).getUint32(generation, true), 0xfedc);
  assert.deepEqual([...rules.subarray(action, action + 2)], [255, 1]);
  assert.equal(viewOf(rules).getUint32(ruleId + 4, true), 77);
  assert.deepEqual(EndpointValueCodec.decode(endpoint), {
    ip: 5,
    ifindex: 0,
    mac: new Uint8Array(6),
    identity: 300,
    nodeIp: 0,
  });
  assert.deepEqual(CidrValueCodec.decode(cidr), { generation: 9, identity: [0, 1 << 24] });
  assert.equal(objects.map("FRAGMENTS").info().id, fragments, "nothing of it changed: shared");
  assert.equal(objects.map("POLICIES").info().maxEntries, SMALL.policyMax * 2);

  await objects.takeOver(bpffs.path, changeOver);
  for (const port of [0, 1, 199]) {
    const { lastSeen, state, flags, packets, bytes } = connection(objects, port) ?? assert.fail();
    assert.deepEqual([lastSeen, state, flags], [7, 2, 1]);
    assert.deepEqual([packets[0], bytes[0]], [port, BigInt(port) * 100n]);
  }
  const counts = objects.map("STATISTICS").lookup(u32Key(2)) ?? assert.fail();
  assert.equal(
    viewOf(counts).getBigUint64(8 * (possibleCpus() - 1), true),
    BigInt(possibleCpus()) + 39n,
  );
  assert.deepEqual(versions(bpffs.path), [LAYOUT_VERSION]);
  assert.deepEqual(listPins(bpffs.path).seals, []);
});

Deno.test("what the old programs do between copy and change is brought over, once", async () => {
  using bpffs = new PrivateBpffs();
  await pinEarlier(bpffs.path, EARLIER);
  using old = openOld(bpffs.path, "CONNTRACK");
  old.update(u32Key(1), oldConnection(1, 10, 7, 0));
  old.update(u32Key(2), oldConnection(2, 10, 7, 2));
  using objects = await openTestObjects(bpffs);
  await objects.takeOver(bpffs.path, () => {
    const copied = connection(objects, 2) ?? assert.fail();
    assert.deepEqual(copied.packets, [0, 0], "counted later");
    // The old programs see a handshake end and a new flow, the new ones 5 packets and a later time.
    old.update(u32Key(1), oldConnection(1, 12, 9, 2));
    old.update(u32Key(3), oldConnection(3, 1, 9, 0));
    change(objects, 2, { packets: [5, 3], bytes: [500n, 300n], lastSeen: 20, state: 3 });
    return Promise.resolve();
  });
  const told = [1, 2, 3].map((port) => {
    const { packets, bytes, lastSeen, state } = connection(objects, port) ?? assert.fail();
    return [...packets, ...bytes.map(Number), lastSeen, state];
  });
  assert.deepEqual(told, [
    [12, 0, 1200, 0, 9, 2],
    [15, 3, 1500, 300, 20, 3],
    [1, 0, 100, 0, 9, 0],
  ]);
  const left = [...old.entries()].filter(([, value]) => value.some((byte) => byte !== 0));
  assert.equal(left.length, 0, "nobody brings it a second time");
});

Deno.test("killed before the seal: begun again; after it: gone on with", async () => {
  using bpffs = new PrivateBpffs();
  await pinEarlier(bpffs.path, EARLIER);
  using old = openOld(bpffs.path, "CONNTRACK");
  old.update(u32Key(1), oldConnection(1, 10, 7, 2));
  const open = () => openTestObjects(bpffs);
  let first: number;
  {
    using objects = await open();
    first = objects.map("CONNTRACK").info().id;
  }
  assert.deepEqual(versions(bpffs.path).sort(), [OLD, LAYOUT_VERSION]);
  {
    using objects = await open();
    assert.notEqual(objects.map("CONNTRACK").info().id, first, "made anew");
    objects.migration?.seal();
    first = objects.map("CONNTRACK").info().id;
  }
  old.update(u32Key(2), oldConnection(2, 3, 8, 2));
  for (let start = 0; start < 2; start++) {
    // The second start dies as late as one can: the last old pin is gone, and the seal is not.
    using objects = await open();
    assert.equal(objects.map("CONNTRACK").info().id, first);
    await objects.takeOver(bpffs.path, changeOver);
    assert.deepEqual(connection(objects, 1)?.packets, [10, 0]);
    assert.deepEqual(connection(objects, 2)?.packets, [3, 0]);
    assert.deepEqual(listPins(bpffs.path).seals, []);
    Deno.mkdirSync(sealPath(bpffs.path, LAYOUT_VERSION));
  }
  Deno.removeSync(sealPath(bpffs.path, LAYOUT_VERSION));
});

const REFUSED: readonly (readonly [what: string, changes: readonly Change[], says: RegExp])[] = [
  [
    "a number that would shrink",
    [[/\t__u32 rule_id\[2\];\n\};/, "\t__u64 rule_id[2];\n};"]],
    /POLICIES_v0: rule_id\[\] is u64 and does not fit into u32/,
  ],
  [
    "a member of a key that is gone",
    [[/(struct cidr_key \{\n)/, "$1\t__u32 zone;\n"]],
    /CIDR_IDENTITIES_v0: zone is missing in the new key/,
  ],
];

for (const [what, changes, says] of REFUSED) {
  Deno.test(`${what} is refused, and all stays as it is`, async () => {
    using bpffs = new PrivateBpffs();
    await pinEarlier(bpffs.path, changes);
    const before = listPins(bpffs.path);
    await assert.rejects(
      openTestObjects(bpffs),
      (error) => error instanceof MigrationError && says.test(error.message),
    );
    assert.deepEqual(listPins(bpffs.path), before);
  });
}

Deno.test("a map without type information is refused", async () => {
  using bpffs = new PrivateBpffs();
  const shape = { name: "ENDPOINTS", type: MapType.HASH, keySize: 4, valueSize: 20, maxEntries: 1 };
  using foreign = BpfMap.create(shape);
  foreign.pin(mapPin(bpffs.path, "ENDPOINTS", OLD));
  await assert.rejects(
    openTestObjects(bpffs),
    (error) => error instanceof MigrationError && /no type information/.test(error.message),
  );
});
