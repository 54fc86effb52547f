import assert from "node:assert/strict";
import { linkPin, mapPin, programPin, sortPins } from "./pins.ts";

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
  ];
  assert.deepEqual(sortPins([link, ...foreign, map, program]), {
    maps: [map],
    programs: [{ file: program, objectHash: "0123abcd" }],
    links: [{ file: link, ifindex: 42, direction: "egress" }],
    others: foreign,
  });
  for (const pin of [map, program, link]) assert.ok(!pin.includes("."), "bpffs takes no dots");
});
