import { versionLine } from "../shared/version.ts";
import { DEFAULT_AGENT_SOCKET } from "./config.ts";
import {
  commonVersions,
  earlierConfigurations,
  install,
  InstallError,
  type InstallOptions,
  PLUGIN_NAME,
  pluginPath,
  podInterfaces,
  uninstall,
} from "./install.ts";

/** What the process prints and its exit code: 0, 1 when an operation failed, 2 for a wrong command line. */
export interface CommandOutput {
  readonly exitCode: 0 | 1 | 2;
  readonly stdout: string;
  readonly stderr: string;
}

/** `--help`. */
export const HELP = `Usage: novanet-cni install [OPTIONS]
       novanet-cni uninstall [OPTIONS]
       novanet-cni --version | --help

The CNI plugin of NovaNet. Container runtimes call it without arguments, with CNI_COMMAND set and
the network configuration on stdin (CNI 0.3.0 to 1.1.0).

Commands:
  install     Put this program and 10-novanet.conflist in place, the conflist last, each by rename
  uninstall   Take both away, the conflist first. While pods of this node run, the program stays:
              the runtime needs it for their DEL. Run it again when they are gone

Options:
  --bin-dir DIR        Folder of CNI plugins (default /opt/cni/bin)
  --conf-dir DIR       Folder of network configurations (default /etc/cni/net.d)
  --chain NAME,...     install: plugins after novanet-cni, such as portmap,bandwidth (repeatable);
                       each must be in --bin-dir already
  --agent-socket PATH  install: the agent's socket (default /run/novanet/cni.sock)
  --force              uninstall: take the program away even though pods run

Examples:
  novanet-cni install --chain portmap,bandwidth
  novanet-cni install --bin-dir /host/opt/cni/bin --conf-dir /host/etc/cni/net.d
  novanet-cni uninstall
  echo '{"cniVersion":"1.0.0"}' | CNI_COMMAND=VERSION novanet-cni
`;

const OPTIONS = ["--bin-dir", "--conf-dir", "--chain", "--agent-socket"] as const;
type OptionName = typeof OPTIONS[number];

class UsageError extends Error {}

/** Runs the plugin as a person's command. @param args without the program's name. */
export function runCommandLine(args: readonly string[]): CommandOutput {
  try {
    return dispatch(args);
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      const stderr = `Error: ${thrown.message}\nSee novanet-cni --help.\n`;
      return { exitCode: 2, stdout: "", stderr };
    }
    if (thrown instanceof InstallError) {
      return { exitCode: 1, stdout: "", stderr: `Error: ${thrown.message}\n` };
    }
    throw thrown;
  }
}

function dispatch(args: readonly string[]): CommandOutput {
  const [command, ...rest] = args;
  switch (command) {
    case "--version":
    case "-V":
      return print(`${versionLine(PLUGIN_NAME)}\n`);
    case "--help":
    case "-h":
    case "help":
      return print(HELP);
    case "install":
      return rest.includes("--help") ? print(HELP) : runInstall(parseOptions(rest));
    case "uninstall":
      return rest.includes("--help") ? print(HELP) : runUninstall(rest);
    default:
      throw new UsageError(`unknown command ${JSON.stringify(command)}`);
  }
}

function runInstall(options: InstallOptions): CommandOutput {
  const versions = commonVersions(options.binDir, options.chain);
  if (!Deno.build.standalone) {
    throw new InstallError(
      "install copies its own executable: run dist/novanet-cni, not the source",
    );
  }
  const paths = install(Deno.execPath(), options, versions);
  const earlier = earlierConfigurations(options.confDir);
  const notes = earlier.map((name) =>
    `Note: runtimes take ${options.confDir}/${name} before ours; remove it to use NovaNet.\n`
  );
  const stdout = paths.map((path) => `installed ${path}\n`).join("");
  return { exitCode: 0, stdout, stderr: notes.join("") };
}

function runUninstall(args: readonly string[]): CommandOutput {
  const isForced = args.includes("--force");
  const options = parseOptions(args.filter((arg) => arg !== "--force"));
  const pods = isForced ? [] : podInterfaces();
  const removed = uninstall(options, { keepPlugin: pods.length > 0 });
  const kept = pods.length === 0
    ? ""
    : `kept ${pluginPath(options)}: the runtime needs it for the DEL of ${pods.length} ` +
      `${pods.length === 1 ? "pod" : "pods"} (${
        pods.join(", ")
      }); run this again when they are gone\n`;
  return print(`${removed.map((path) => `removed ${path}\n`).join("")}${kept}`);
}

/** `--name value` and `--name=value`. @throws {UsageError} */
function parseOptions(args: readonly string[]): InstallOptions {
  const values = new Map<OptionName, string[]>();
  for (let index = 0; index < args.length; index++) {
    const [text = "", inline] = splitOnce(args[index] ?? "", "=");
    const name = OPTIONS.find((known) => known === text);
    if (name === undefined) throw new UsageError(`unknown option ${JSON.stringify(args[index])}`);
    const value = inline ?? args[++index];
    if (value === undefined || value === "") throw new UsageError(`${name} needs a value`);
    values.set(name, [...values.get(name) ?? [], value]);
  }
  const last = (name: OptionName, fallback: string) => values.get(name)?.at(-1) ?? fallback;
  const chain = (values.get("--chain") ?? []).flatMap((list) => list.split(","));
  for (const name of chain) {
    if (!/^[a-zA-Z0-9_.-]+$/.test(name) || name === PLUGIN_NAME) {
      throw new UsageError(`--chain ${JSON.stringify(name)} is not the name of another plugin`);
    }
  }
  return {
    binDir: last("--bin-dir", "/opt/cni/bin"),
    confDir: last("--conf-dir", "/etc/cni/net.d"),
    chain,
    agentSocket: last("--agent-socket", DEFAULT_AGENT_SOCKET),
  };
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function print(stdout: string): CommandOutput {
  return { exitCode: 0, stdout, stderr: "" };
}
