import { configureLogging, getLogger } from "../shared/log.ts";
import { RtnetlinkSocket } from "../shared/netlink/mod.ts";
import { versionLine } from "../shared/version.ts";
import { Agent } from "./agent.ts";
import { type AgentFlags, ConfigError, loadConfig, parseFlags, USAGE } from "./config/mod.ts";
import { detectNodeIp, LOOPBACK_ADDRESS, readHostNetwork } from "./host/node_facts.ts";
import { missingCapabilities, preflight, PreflightError } from "./preflight.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** The same code as the dataplane's. */
const EXIT_MACHINE_LACKS = 3;
const log = getLogger("agent");

/** Facts of the host that fill the gaps of the configuration. */
function hostFacts() {
  const hostName = Deno.hostname().toLowerCase();
  // The kernel would not tell; what is missing is said when the paths are known too.
  if (missingCapabilities().length > 0) return { hostName, nodeIp: LOOPBACK_ADDRESS };
  using socket = RtnetlinkSocket.openIn();
  return { hostName, nodeIp: detectNodeIp(readHostNetwork(socket)) };
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
  const { state_dir: stateDir, listen_socket, cni_socket } = config.values;
  preflight({ stateDir, sockets: { listen_socket, cni_socket } });
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
    return exitCode(error);
  }
}

function exitCode(error: unknown): number {
  if (error instanceof ConfigError) return EXIT_USAGE;
  return error instanceof PreflightError ? EXIT_MACHINE_LACKS : EXIT_FAILED;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
