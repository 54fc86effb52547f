import { Cidr, type Ipv4 } from "../../shared/net/mod.ts";
import { ConfigError } from "./error.ts";
import { CONFIG_KEYS, type ConfigKey, type ConfigValues, FIELDS } from "./fields.ts";
import type { GivenValues } from "./sources.ts";

/** What the agent runs with: every key's value, and what the flags and the host add. */
export interface AgentConfig {
  /** Every key's value: a flag's, else the environment's, else the file's, else the default. */
  readonly values: ConfigValues;
  /** Where each value that is not a default came from. */
  readonly sources: ReadonlyMap<ConfigKey, string>;
  /** Name of this node, never empty. */
  readonly nodeName: string;
  /** This node's own address. */
  readonly nodeIp: Ipv4;
  /** Addresses of this node's pods. */
  readonly podCidr: Cidr;
}

/** Facts from outside the configuration that fill its gaps. */
export interface HostFacts {
  /** The host's name. */
  readonly hostName: string;
  /** The address that {@linkcode AgentConfig.nodeIp} takes when nobody gives one. */
  readonly nodeIp: Ipv4;
}

/** Values that flags or NOVANET_NODE_IP and NOVANET_POD_CIDR give, checked. */
export interface NodeOptions {
  readonly nodeIp: { readonly source: string; readonly value: Ipv4 } | undefined;
  readonly podCidr: { readonly source: string; readonly value: Cidr } | undefined;
}

/**
 * Merges the sources (later ones win) and fills the gaps.
 * @throws {ConfigError} when values do not fit each other
 */
export function resolveConfig(
  layers: readonly GivenValues[],
  node: NodeOptions,
  host: HostFacts,
): AgentConfig {
  const merged: Record<string, unknown> = {};
  const sources = new Map<ConfigKey, string>();
  for (const key of CONFIG_KEYS) {
    merged[key] = FIELDS[key].default;
    for (const layer of layers) {
      const given = layer.get(key);
      if (given === undefined) continue;
      merged[key] = given.value;
      sources.set(key, given.source);
    }
  }
  const values = Object.freeze(merged) as ConfigValues;
  return {
    values,
    sources,
    nodeName: values.node_name || host.hostName,
    nodeIp: node.nodeIp?.value ?? host.nodeIp,
    podCidr: resolvePodCidr(values, sources, node.podCidr),
  };
}

/** The configuration as nested JSON, as its file would say it. */
export function configToJson(config: AgentConfig): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const key of CONFIG_KEYS) {
    const [section, name] = key.includes(".") ? key.split(".") : [undefined, key];
    if (section === undefined) root[key] = config.values[key];
    else root[section] = { ...root[section] as object, [name ?? ""]: config.values[key] };
  }
  return root;
}

function resolvePodCidr(
  values: ConfigValues,
  sources: ReadonlyMap<ConfigKey, string>,
  given: NodeOptions["podCidr"],
): Cidr {
  const cluster = values.cluster_cidr;
  const size = values.node_cidr_mask_size;
  if (given === undefined) {
    if (size < cluster.prefixLen) {
      throw new ConfigError(
        sources.get("node_cidr_mask_size") ?? sources.get("cluster_cidr") ?? "the defaults",
        "node_cidr_mask_size",
        size,
        `cluster_cidr ${cluster} has no room for a /${size}`,
      );
    }
    return Cidr.of(cluster.address, size);
  }
  if (!cluster.contains(given.value)) {
    const why = `must be inside cluster_cidr ${cluster}`;
    throw new ConfigError(given.source, "pod_cidr", given.value, why);
  }
  if (given.value.prefixLen > 30) {
    throw new ConfigError(given.source, "pod_cidr", given.value, "needs room for a pod: /30");
  }
  return given.value;
}
