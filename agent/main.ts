import { configureLogging, getLogger } from "../shared/log.ts";
import { RtnetlinkSocket } from "../shared/netlink/mod.ts";
import { versionLine } from "../shared/version.ts";
import { Agent } from "./agent.ts";
import { type AgentFlags, ConfigError, loadConfig, parseFlags, USAGE } from "./config/mod.ts";
import { detectNodeIp, readHostNetwork } from "./host/node_facts.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const log = getLogger("agent");

/** Facts of the host that fill the gaps of the configuration. */
function hostFacts() {
  using socket = RtnetlinkSocket.openIn();
  return {
    hostName: Deno.hostname().toLowerCase(),
    nodeIp: detectNodeIp(readHostNetwork(socket)),
  };
}

/** Resolves with the signal that asks the program to end. */
function endSignal(): Promise<Deno.Signal> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => resolve(signal));
    }
  });
}

async function run(flags: AgentFlags): Promise<void> {
  const config = loadConfig(flags, Deno.env.toObject(), hostFacts);
  configureLogging({ level: config.values.log_level });
  const ended = endSignal();
  await using _agent = await Agent.start(config);
  log.info("ending", { signal: await ended });
}

async function main(args: readonly string[]): Promise<number> {
  configureLogging({ level: "info" });
  try {
    const flags = parseFlags(args);
    if (flags.help) console.log(USAGE.trimEnd());
    else if (flags.version) console.log(versionLine("novanet-agent"));
    else await run(flags);
    return 0;
  } catch (error) {
    console.error(`novanet-agent: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
