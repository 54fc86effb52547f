import assert from "node:assert/strict";
import { ConfigKey } from "../gen/novanet/v1/novanet_pb.ts";
import { configText } from "./config_text.ts";

const ROWS: readonly (readonly [key: number, value: bigint | undefined, text: string])[] = [
  [ConfigKey.NODE_IP, 3221225994n, "192.0.2.10"],
  [ConfigKey.POD_CIDR_IP, 0n, "0.0.0.0"],
  [ConfigKey.SNAT_IP, 2n ** 32n, "4294967296"],
  [ConfigKey.POD_CIDR_PL, 24n, "24"],
  [ConfigKey.CLUSTER_CIDR_IP, undefined, "not set"],
];
for (const [key, value, text] of ROWS) {
  Deno.test(`${ConfigKey[key]} ${value} reads ${text}`, () => {
    assert.equal(configText(key, value), text);
  });
}
