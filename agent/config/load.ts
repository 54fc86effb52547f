import { type AgentConfig, type HostFacts, resolveConfig } from "./config.ts";
import { ConfigError } from "./error.ts";
import { type AgentFlags, DEFAULT_CONFIG_FILE, parseNodeOptions } from "./flags.ts";
import { type GivenValues, parseConfigText, readConfigEnv } from "./sources.ts";

/**
 * Reads file, environment and flags. The file at its default path may be missing, one that --config
 * names may not.
 * @param host fills what nobody gives; called only when all else is sound
 * @throws {ConfigError}
 */
export function loadConfig(
  flags: AgentFlags,
  env: Readonly<Record<string, string>>,
  host: () => HostFacts,
): AgentConfig {
  const file = readConfigFile(flags.configFile);
  const overrides = readConfigEnv(env);
  const node = parseNodeOptions(flags, env);
  return resolveConfig([file, overrides], node, host());
}

function readConfigFile(named: string | undefined): GivenValues {
  const file = named ?? DEFAULT_CONFIG_FILE;
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (cause) {
    if (named === undefined && cause instanceof Deno.errors.NotFound) return new Map();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(file, "", undefined, why, { cause });
  }
  return parseConfigText(file, text);
}
