import assert from "node:assert/strict";
import { readAsset } from "../../shared/ffi/assets.ts";
import { Btf } from "../../shared/btf/btf.ts";
import { ROLES } from "./roles.ts";

Deno.test("every map of the object has a role when its layout changes", () => {
  const types = Btf.ofObject(readAsset("datapath.bpf.o"));
  const maps = types.section(".maps").map(({ typeId }) => types.type(typeId).name);
  assert.ok(maps.includes("CONNTRACK"));
  assert.deepEqual(maps.filter((map) => ROLES[map] === undefined), []);
});
