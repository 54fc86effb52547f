import assert from "node:assert/strict";
import { LAYOUT_VERSION, linkPin, mapPin, programPin, sealPath, sortPins } from "./pins.ts";

Deno.test("pins are told apart by their names, whatever else is there", () => {
  const name = (path: string) => path.slice("/x/".length);
  const map = name(mapPin("/x", "POD_IFACES_MORE"));
  const program = name(programPin("/x", "collect_garbage", "0123abcd"));
  const link = name(linkPin("/x", 42, "egress"));
  const foreign = [
    "tmp",
    "prog_x",
    "link_1_up",
    "policies_v1",
    "POLICIES",
    "prog_pod_egress_0123abc",
    "sealed_v",
  ];
  const seal = name(sealPath("/x", 3));
  assert.deepEqual(sortPins([link, ...foreign, seal, map, program]), {
    maps: [{ file: map, map: "POD_IFACES_MORE", version: LAYOUT_VERSION }],
    seals: [{ file: seal, version: 3 }],
    programs: [{ file: program, objectHash: "0123abcd" }],
    links: [{ file: link, ifindex: 42, direction: "egress" }],
    others: foreign,
  });
  for (const pin of [map, program, link, seal]) {
    assert.ok(!pin.includes("."), "bpffs takes no dots");
  }
});
