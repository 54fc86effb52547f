import assert from "node:assert/strict";
import { TimeoutClass } from "../../shared/gen/abi.ts";
import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { deriveState, measureHz, modeName, tunnelProtocolName } from "./derived_state.ts";

Deno.test("the defaults, for each rate of jiffies", () => {
  for (const [hz, jiffies] of [[100, 500], [250, 1250], [300, 1500], [1000, 5000]] as const) {
    const state = deriveState(new Map(), hz);
    assert.equal(state.flowIntervalJiffies, jiffies);
    assert.equal(state.timeoutSeconds.length, TimeoutClass.TIMEOUT_CLASSES);
    assert.deepEqual([state.podCidrIp, state.podCidrMask, state.defaultDeny], [0, 0, 0]);
  }
});

Deno.test("what is configured", () => {
  const state = deriveState(
    new Map([
      [ConfigKey.POD_CIDR_IP, 0x0af4_0105n],
      [ConfigKey.POD_CIDR_PL, 24n],
      [ConfigKey.DEFAULT_DENY, 1n],
      [ConfigKey.FLOW_INTERVAL_MS, 100n],
      [ConfigKey.CT_TIMEOUT_UDP_NEW_S, 7n],
      [ConfigKey.FRAGMENT_TIMEOUT_S, 9n],
    ]),
    100,
  );
  assert.deepEqual([state.podCidrIp, state.podCidrMask], [0x0af4_0100, 0xffff_ff00]);
  assert.equal(state.defaultDeny, 1);
  assert.equal(state.flowIntervalJiffies, 10);
  assert.equal(state.timeoutSeconds[TimeoutClass.TIMEOUT_UDP_NEW], 7);
  assert.equal(state.timeoutSeconds[TimeoutClass.TIMEOUT_FRAGMENT], 9);
  assert.equal(state.timeoutSeconds[TimeoutClass.TIMEOUT_TCP_SYN], 60);
});

Deno.test("the rate of jiffies is told apart in 100 ms, a tick early or late", () => {
  for (const hz of [100, 250, 300, 1000]) {
    for (const error of [-1, 0, 1]) {
      const jiffies = BigInt(hz / 10 + error);
      const first = { jiffies: 5n, ktimeNs: 1_000n };
      const second = { jiffies: 5n + jiffies, ktimeNs: 100_001_000n };
      assert.equal(measureHz(first, second), hz, `${hz} ${error}`);
    }
  }
});

Deno.test("mode and tunnel protocol have names, or are unknown", () => {
  assert.equal(modeName(new Map()), "unknown");
  assert.equal(modeName(new Map([[ConfigKey.MODE, 0n]])), "overlay");
  assert.equal(modeName(new Map([[ConfigKey.MODE, 1n]])), "native");
  assert.equal(tunnelProtocolName(new Map()), "unknown");
  assert.equal(tunnelProtocolName(new Map([[ConfigKey.TUNNEL_TYPE, 0n]])), "geneve");
  assert.equal(tunnelProtocolName(new Map([[ConfigKey.TUNNEL_TYPE, 1n]])), "vxlan");
});
