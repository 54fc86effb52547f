import assert from "node:assert/strict";
import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { CONFIG_KEYS, configNumber, parseConfigEntries } from "./config_keys.ts";

Deno.test("every key of the proto enum is known, and no other", () => {
  const keys = Object.values(ConfigKey).filter((value) => typeof value === "number");
  assert.deepEqual(CONFIG_KEYS, [...keys].sort((a, b) => a - b));
});

const RANGES: [key: ConfigKey, least: bigint, most: bigint][] = [
  [ConfigKey.MODE, 0n, 1n],
  [ConfigKey.TUNNEL_TYPE, 0n, 1n],
  [ConfigKey.NODE_IP, 0n, 2n ** 32n - 1n],
  [ConfigKey.CLUSTER_CIDR_IP, 0n, 2n ** 32n - 1n],
  [ConfigKey.CLUSTER_CIDR_PL, 0n, 32n],
  [ConfigKey.DEFAULT_DENY, 0n, 1n],
  [ConfigKey.MASQUERADE_ENABLE, 0n, 1n],
  [ConfigKey.SNAT_IP, 0n, 2n ** 32n - 1n],
  [ConfigKey.POD_CIDR_IP, 0n, 2n ** 32n - 1n],
  [ConfigKey.POD_CIDR_PL, 0n, 32n],
  [ConfigKey.L4LB_ENABLED, 0n, 1n],
  [ConfigKey.FLOW_LEVEL, 0n, 3n],
  [ConfigKey.FLOW_INTERVAL_MS, 100n, 3_600_000n],
  [ConfigKey.CT_TIMEOUT_TCP_SYN_S, 1n, 2_000_000n],
  [ConfigKey.FRAGMENT_TIMEOUT_S, 1n, 2_000_000n],
];

function refuses(entries: Record<string, bigint>, message: RegExp): void {
  assert.throws(
    () => parseConfigEntries(entries),
    (error) =>
      error instanceof RpcError && error.code === RpcCode.INVALID_ARGUMENT &&
      message.test(error.message),
  );
}

for (const [key, least, most] of RANGES) {
  Deno.test(`${ConfigKey[key]} takes ${least} to ${most}`, () => {
    assert.deepEqual(parseConfigEntries({ [key]: least }), [[key, least]]);
    assert.deepEqual(parseConfigEntries({ [key]: most }), [[key, most]]);
    refuses(
      { [key]: most + 1n },
      new RegExp(`^entries\\[${key}\\] ${most + 1n}: .*${ConfigKey[key]}`),
    );
    refuses({ [key]: 2n ** 64n - 1n }, /18446744073709551615/);
    if (least > 0n) refuses({ [key]: least - 1n }, /must be from/);
  });
}

Deno.test("other keys are refused by number", () => {
  for (const key of [11, 20, 30, 63, 75, 96, 97, 127, 2 ** 32 - 1]) {
    refuses({ [key]: 0n }, new RegExp(`^entries ${key}:`));
  }
});

Deno.test("what is not set has its default", () => {
  assert.equal(configNumber(new Map(), ConfigKey.FLOW_LEVEL), 2);
  assert.equal(configNumber(new Map(), ConfigKey.CT_TIMEOUT_TCP_ESTABLISHED_S), 21_600);
  assert.equal(configNumber(new Map(), ConfigKey.DEFAULT_DENY), 0);
  assert.equal(configNumber(new Map([[ConfigKey.FLOW_LEVEL, 0n]]), ConfigKey.FLOW_LEVEL), 0);
});
