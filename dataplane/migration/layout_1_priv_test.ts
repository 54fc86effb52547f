import assert from "node:assert/strict";
import { BpfObject } from "../../shared/ffi/bpf.ts";
import { ConntrackKeyCodec } from "../../shared/gen/abi.ts";
import { compileC } from "../../shared/ffi/bpf/testdata/compile.ts";
import { Connections } from "../maps/connections.ts";
import { mapPin } from "../programs/pins.ts";
import { openTestObjects } from "../testing/kernel.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";

const CONNECTIONS = 3000;
const VALUE_BYTES = 64;

/** The map of the old layout, in the kernel with its types. */
async function oldLayout(): Promise<BpfObject> {
  const source = await Deno.readTextFile(new URL("testdata/layout_1.bpf.c", import.meta.url));
  return BpfObject.open(await compileC(source, ["-nostdinc"]), { name: "layout_1" });
}

const keyOf = (index: number) => ({
  ipA: 0x0af40002,
  ipB: 0x0af40003 + index,
  portA: 80,
  portB: 1024 + index,
  protocol: 6,
});

Deno.test("connections of layout 1, which had them in a hash, are all taken over", async () => {
  using bpffs = new PrivateBpffs();
  {
    using object = await oldLayout();
    object.load();
    using map = object.map("CONNTRACK");
    map.pin(mapPin(bpffs.path, "CONNTRACK", 1));
    for (let index = 0; index < CONNECTIONS; index++) {
      const value = new Uint8Array(VALUE_BYTES);
      const view = new DataView(value.buffer);
      view.setUint32(4, 7, true);
      view.setBigUint64(32, BigInt(index), true);
      value[60] = 2;
      value[61] = 1;
      map.update(ConntrackKeyCodec.encode(keyOf(index)), value);
    }
  }
  using objects = await openTestObjects(bpffs);
  await objects.takeOver(bpffs.path, () => Promise.resolve());
  const connections = new Connections((name) => objects.map(name), objects.program("connection"));
  assert.ok(connections.capacity >= 4096, "as many as the old table");
  for (let index = 0; index < CONNECTIONS; index++) {
    const entry = connections.find(keyOf(index));
    assert.ok(entry !== undefined, `connection ${index}`);
    const { key, generation, bytes, state, flags } = entry;
    assert.deepEqual({ key, generation, bytes, state, flags }, {
      key: keyOf(index),
      generation: 7,
      bytes: [BigInt(index), 0n],
      state: 2,
      flags: 1,
    });
  }
  assert.equal([...connections.slices()].reduce((sum, slice) => sum + [...slice].length, 0), 3000);
  assert.equal(connections.find(keyOf(CONNECTIONS)), undefined);
  assert.equal(connections.isFull, false);
});
