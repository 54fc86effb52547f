import assert from "node:assert/strict";
import { CniError } from "./errors.ts";
import type { JsonObject } from "./json.ts";
import { decodeChain, encodeResult, type PodInterface } from "./result.ts";
import type { CniVersion } from "./versions.ts";

const MADE: PodInterface = {
  ifName: "eth0",
  mac: "02:fe:0a:f4:00:05",
  netns: "/run/netns/blue",
  mtu: 1500,
  hostIfName: "nvc0ffee01234",
  hostMac: "02:fe:0a:f4:00:01",
  ip: "10.244.0.5",
  prefixLen: 24,
  gateway: "10.244.0.1",
};

const PREVIOUS: JsonObject = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "lo", sandbox: "/run/netns/blue", mac: "00:00:00:00:00:00" }],
  ips: [{ address: "127.0.0.1/8", interface: 0 }, {
    address: "::1/128",
    interface: 0,
    version: "6",
  }],
  routes: [{ dst: "127.0.0.0/8" }],
  dns: { nameservers: ["10.96.0.10"] },
  vendor: { kept: true },
};

function encode(version: CniVersion, previous?: JsonObject, dns?: JsonObject): JsonObject {
  return encodeResult(version, decodeChain(previous, "eth0", MADE.netns), MADE, dns);
}

Deno.test("what came before stays in front and our index counts from there", () => {
  const result = encode("1.1.0", PREVIOUS, { nameservers: ["192.0.2.1"] });
  assert.deepEqual(result, {
    cniVersion: "1.1.0",
    interfaces: [
      { name: "lo", sandbox: "/run/netns/blue", mac: "00:00:00:00:00:00" },
      { name: "eth0", mac: "02:fe:0a:f4:00:05", mtu: 1500, sandbox: "/run/netns/blue" },
      { name: "nvc0ffee01234", mac: "02:fe:0a:f4:00:01", mtu: 1500 },
    ],
    ips: [
      { address: "127.0.0.1/8", interface: 0 },
      { address: "::1/128", interface: 0 },
      { address: "10.244.0.5/24", gateway: "10.244.0.1", interface: 1 },
    ],
    routes: [{ dst: "127.0.0.0/8" }, { dst: "0.0.0.0/0", gw: "10.244.0.1" }],
    dns: { nameservers: ["10.96.0.10"] },
    vendor: { kept: true },
  });
});

Deno.test("old versions say of each address which IP version it is", () => {
  const ips = encode("0.4.0", PREVIOUS)["ips"] as JsonObject[];
  assert.deepEqual(ips.map((ip) => ip["version"]), ["4", "6", "4"]);
});

Deno.test("dns of the configuration is passed on when nobody before said any", () => {
  assert.deepEqual(encode("1.0.0", undefined, { domain: "x" })["dns"], { domain: "x" });
  assert.equal("dns" in encode("1.0.0"), false);
});

Deno.test("an interface that the chain has already is refused", () => {
  const taken = { interfaces: [{ name: "eth0", sandbox: "/run/netns/blue" }] };
  assert.throws(() => encode("1.0.0", taken), (thrown: unknown) => {
    assert.ok(thrown instanceof CniError);
    assert.equal(thrown.code, 7);
    assert.match(thrown.message, /already has interface eth0/);
    return true;
  });
  const elsewhere = { interfaces: [{ name: "eth0", sandbox: "/run/netns/red" }] };
  assert.equal((encode("1.0.0", elsewhere)["interfaces"] as JsonObject[]).length, 3);
});

Deno.test("what the agent did not tell is left out", () => {
  const chain = decodeChain(undefined, "eth0", MADE.netns);
  const made = { ...MADE, mtu: 0, hostIfName: "", hostMac: "" };
  assert.deepEqual(encodeResult("1.1.0", chain, made, undefined)["interfaces"], [
    { name: "eth0", mac: MADE.mac, sandbox: MADE.netns },
  ]);
});
