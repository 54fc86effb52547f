import assert from "node:assert/strict";
import { Ipv4 } from "../../shared/net/mod.ts";
import { configToJson, resolveConfig } from "./config.ts";
import { ConfigError } from "./error.ts";
import type { Field } from "./field.ts";
import { CONFIG_KEYS, FIELDS } from "./fields.ts";
import { parseFlags, parseNodeOptions } from "./flags.ts";
import { loadConfig } from "./load.ts";
import { parseConfigText, readConfigEnv } from "./sources.ts";

const HOST = { hostName: "node-a", nodeIp: Ipv4.parse("192.0.2.2") };
const NOBODY = { nodeIp: undefined, podCidr: undefined };

function resolve(file: unknown, env: Record<string, string> = {}, args: string[] = []) {
  const layers = [parseConfigText("f.json", JSON.stringify(file)), readConfigEnv(env)];
  return resolveConfig(layers, parseNodeOptions(parseFlags(args), env), HOST);
}

function rejects(run: () => unknown, source: string, key: string, value: unknown) {
  assert.throws(run, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual([error.source, error.key, error.value], [source, key, value]);
    if (key !== "") assert.ok(error.message.includes(key), error.message);
    assert.ok(error.message.includes(source), error.message);
    return true;
  });
}

Deno.test("defaults run on one machine", () => {
  const config = resolveConfig([], NOBODY, HOST);
  assert.equal(config.nodeName, "node-a");
  assert.equal(config.nodeIp.toString(), "192.0.2.2");
  assert.equal(config.podCidr.toString(), "10.244.0.0/24");
  assert.equal(config.values.tunnel_protocol, undefined);
  assert.equal(config.values["ebpf_services.enabled"], true);
  assert.equal(config.values["egress.masquerade_enabled"], false);
});

Deno.test("every default passes its own check, and no default switches on what is not there", () => {
  for (const key of CONFIG_KEYS) {
    const field: Field<unknown> = FIELDS[key];
    if (field.default === undefined) continue;
    const value = JSON.parse(JSON.stringify(field.default));
    assert.deepEqual(JSON.parse(JSON.stringify(field.parse(value))), value, key);
    assert.equal(field.missing(field.default), undefined, key);
  }
});

Deno.test("file, then environment, then flags", () => {
  const file = { cluster_cidr: "10.1.0.0/16", policy: { default_deny: true }, log_level: "DEBUG" };
  const env = { NOVANET_CLUSTER_CIDR: "10.2.0.0/16", NOVANET_POD_CIDR: "10.2.3.0/24" };
  const config = resolve(file, env, ["--pod-cidr", "10.2.4.0/24", "--node-ip", "198.51.100.1"]);
  assert.equal(config.values.cluster_cidr.toString(), "10.2.0.0/16");
  assert.equal(config.values["policy.default_deny"], true);
  assert.equal(config.values.log_level, "debug");
  assert.equal(config.podCidr.toString(), "10.2.4.0/24");
  assert.equal(config.nodeIp.toString(), "198.51.100.1");
  assert.equal(config.sources.get("cluster_cidr"), "NOVANET_CLUSTER_CIDR");
});

Deno.test("legacy environment names apply only when the new one is not set", () => {
  const legacy = { NOVAROUTE_CLUSTER_CIDR: "10.3.0.0/16" };
  assert.equal(resolve({}, legacy).values.cluster_cidr.toString(), "10.3.0.0/16");
  const both = { ...legacy, NOVANET_CLUSTER_CIDR: "10.4.0.0/16" };
  assert.equal(resolve({}, both).values.cluster_cidr.toString(), "10.4.0.0/16");
});

const BAD: [file: unknown, key: string, value: unknown][] = [
  [{ cluster_cdir: "10.0.0.0/8" }, "cluster_cdir", "10.0.0.0/8"],
  [{ policy: { deny: true } }, "policy.deny", true],
  [{ policy: true }, "policy", true],
  [{ "policy.deny": true }, "policy.deny", true],
  [{ cluster_cidr: "10.0.0.1/8" }, "cluster_cidr", "10.0.0.1/8"],
  [{ cluster_cidr: "10.0.0/8" }, "cluster_cidr", "10.0.0/8"],
  [{ node_cidr_mask_size: 29 }, "node_cidr_mask_size", 29],
  [{ node_cidr_mask_size: "24" }, "node_cidr_mask_size", "24"],
  [{ node_cidr_mask_size: 24.5 }, "node_cidr_mask_size", 24.5],
  [{ listen_socket: "" }, "listen_socket", ""],
  [{ log_level: "loud" }, "log_level", "loud"],
  [{ metrics_address: "9103" }, "metrics_address", "9103"],
  [{ node_name: "a b" }, "node_name", "a b"],
  [{ identity_exclude_labels: [""] }, "identity_exclude_labels", [""]],
  [{ conntrack: { icmp_seconds: 0 } }, "conntrack.icmp_seconds", 0],
  [{ routing_mode: "native" }, "routing_mode", "native"],
  [{ routing: { bfd_enabled: true } }, "routing.bfd_enabled", true],
  [{ routing: { peers: [{}] } }, "routing.peers", [{}]],
  [{ egress: { masquerade_enabled: true } }, "egress.masquerade_enabled", true],
  [{ l4lb: { enabled: true } }, "l4lb.enabled", true],
  [{ encryption: { type: "wireguard" } }, "encryption.type", "wireguard"],
  [{ host_firewall: { enabled: true } }, "host_firewall.enabled", true],
  [{ bandwidth: { enabled: true } }, "bandwidth.enabled", true],
  [{ lb_ipam: { enabled: true } }, "lb_ipam.enabled", true],
  [{ ipv6: { enabled: true } }, "ipv6.enabled", true],
  [{ dsr: true }, "dsr", true],
  [{ xdp_acceleration: "native" }, "xdp_acceleration", "native"],
];
for (const [file, key, value] of BAD) {
  Deno.test(`refuses ${JSON.stringify(file)}`, () => {
    rejects(() => resolve(file), "f.json", key, value);
  });
}

const BAD_ENV: [name: string, value: string, key: string][] = [
  ["NOVANET_L4LB_ENABLED", "true", "l4lb.enabled"],
  ["NOVANET_L4LB_ENABLED", "yes", "l4lb.enabled"],
  ["NOVANET_TUNNEL_PROTOCOL", "gre", "tunnel_protocol"],
  ["NOVANET_NODE_IP", "1.2.3", "node_ip"],
  ["NOVANET_POD_CIDR", "10.9.0.0/24", "pod_cidr"],
];
for (const [name, value, key] of BAD_ENV) {
  Deno.test(`refuses ${name}=${value}`, () => {
    assert.throws(() => resolve({}, { [name]: value }), (error) => {
      return error instanceof ConfigError && error.source === name && error.key === key;
    });
  });
}

Deno.test("an empty variable and off switches count as nothing", () => {
  const config = resolve({ l4lb: { enabled: false } }, { NOVANET_DSR_ENABLED: "", A: "b" });
  assert.equal(config.values.dsr, false);
});

Deno.test("a share larger than the cluster is refused", () => {
  const file = { cluster_cidr: "10.0.0.0/20", node_cidr_mask_size: 16 };
  rejects(() => resolve(file), "f.json", "node_cidr_mask_size", 16);
});

Deno.test("a missing file at an explicit path, and broken JSON, are errors", () => {
  const flags = parseFlags(["--config", "/nonexistent/novanet.json"]);
  rejects(() => loadConfig(flags, {}, () => HOST), "/nonexistent/novanet.json", "", undefined);
  rejects(() => parseConfigText("x.json", "{"), "x.json", "", undefined);
  rejects(() => parseFlags(["--frobnicate"]), "the command line", "", undefined);
});

Deno.test("the dump has the file's shape and can be read again", () => {
  const dump = JSON.stringify(configToJson(resolve({ conntrack: { icmp_seconds: 7 } })));
  const again = resolveConfig([parseConfigText("dump", dump)], NOBODY, HOST);
  assert.equal(again.values["conntrack.icmp_seconds"], 7);
  assert.deepEqual(JSON.stringify(configToJson(again)), dump);
});
