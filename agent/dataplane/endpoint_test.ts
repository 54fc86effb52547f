import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EndpointInfoSchema } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { diffEndpoints, type Endpoint, endpointMessage } from "./endpoint.ts";

const NODE = Ipv4.parse("192.0.2.7");

function endpoint(last: number, more: Partial<Endpoint> = {}): Endpoint {
  const ip = Ipv4.parse(`10.244.0.${last}`);
  return {
    ip,
    ifindex: last,
    mac: Mac.forPod(ip),
    identityId: 300,
    podName: `pod${last}`,
    namespace: "default",
    nodeIp: NODE,
    ...more,
  };
}

function info(last: number, more: MessageInitShape<typeof EndpointInfoSchema> = {}) {
  return create(EndpointInfoSchema, { ...endpointMessage(endpoint(last)), ...more });
}

const ip = (last: number) => endpoint(last).ip.value;
const CASES: [
  what: string,
  found: ReturnType<typeof info>[],
  keep: number[],
  upsert: number[],
  remove: number[],
][] = [
  ["nothing there", [], [], [2, 3], []],
  ["all there", [info(2), info(3)], [], [], []],
  ["node given as this node", [info(2, { nodeIp: 0 }), info(3)], [], [], []],
  ["another identity", [info(2, { identityId: 301 }), info(3)], [], [2], []],
  ["another interface", [info(2, { ifindex: 99 }), info(3)], [], [2], []],
  ["another MAC", [info(2, { mac: new Uint8Array(6) }), info(3)], [], [2], []],
  ["no MAC", [info(2, { mac: new Uint8Array() }), info(3)], [], [2], []],
  ["names lost", [info(2, { podName: "" }), info(3)], [], [2], []],
  ["one too many", [info(2), info(3), info(4)], [], [], [4]],
  ["one on its way", [info(2), info(3), info(4)], [4], [], []],
];
for (const [what, found, keep, upsert, remove] of CASES) {
  Deno.test(`endpoints: ${what}`, () => {
    const wanted = [endpoint(2), endpoint(3)];
    const diff = diffEndpoints(wanted, found, new Set(keep.map(ip)));
    assert.deepEqual(diff.upsert.map((e) => e.ip.value), upsert.map(ip));
    assert.deepEqual(diff.remove, remove.map(ip));
  });
}
