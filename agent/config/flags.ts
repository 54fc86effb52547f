import { parseArgs } from "node:util";
import { Cidr, Ipv4, NetParseError } from "../../shared/net/mod.ts";
import type { NodeOptions } from "./config.ts";
import { ConfigError } from "./error.ts";

/** Where the configuration file is when --config does not say. */
export const DEFAULT_CONFIG_FILE = "/etc/novanet/config.json";

/** What --help prints. */
export const USAGE = `usage: novanet-agent [flags]

  --config FILE     configuration, JSON (default ${DEFAULT_CONFIG_FILE}, which may be missing)
  --node-ip ADDR    this node's IPv4 address (default: the default route's source)
  --pod-cidr CIDR   addresses of this node's pods (default: the first share of cluster_cidr)
  --version         print version, commit and Deno version
  --help            print this text
`;

/** The command line, parsed. */
export interface AgentFlags {
  /** The file that --config names, undefined without it. */
  readonly configFile: string | undefined;
  readonly nodeIp: string | undefined;
  readonly podCidr: string | undefined;
  readonly version: boolean;
  readonly help: boolean;
}

/**
 * Parses the command line.
 * @throws {ConfigError} on an unknown flag or a missing value
 */
export function parseFlags(args: readonly string[]): AgentFlags {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        config: { type: "string" },
        "node-ip": { type: "string" },
        "pod-cidr": { type: "string" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    return {
      configFile: values.config,
      nodeIp: values["node-ip"],
      podCidr: values["pod-cidr"],
      version: values.version ?? false,
      help: values.help ?? false,
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError("the command line", "", undefined, why, { cause });
  }
}

/**
 * Takes node address and pod CIDR from the flags, else from the environment.
 * @throws {ConfigError} when a value is not an address or a CIDR
 */
export function parseNodeOptions(
  flags: AgentFlags,
  env: Readonly<Record<string, string>>,
): NodeOptions {
  return {
    nodeIp: option("node_ip", Ipv4.parse, [
      ["--node-ip", flags.nodeIp],
      ["NOVANET_NODE_IP", env.NOVANET_NODE_IP || undefined],
    ]),
    podCidr: option("pod_cidr", Cidr.parse, [
      ["--pod-cidr", flags.podCidr],
      ["NOVANET_POD_CIDR", env.NOVANET_POD_CIDR || undefined],
    ]),
  };
}

function option<T>(
  key: string,
  parse: (text: string) => T,
  candidates: readonly (readonly [source: string, text: string | undefined])[],
): { source: string; value: T } | undefined {
  for (const [source, text] of candidates) {
    if (text === undefined) continue;
    try {
      return { source, value: parse(text) };
    } catch (cause) {
      if (!(cause instanceof NetParseError)) throw cause;
      throw new ConfigError(source, key, text, cause.why, { cause });
    }
  }
  return undefined;
}
