import { DEFAULT_AGENT_SOCKET } from "./config.ts";
import { SUPPORTED_VERSIONS } from "./versions.ts";

/** File name of the plugin, which is its `type` in configurations. */
export const PLUGIN_NAME = "novanet-cni";
/** File name of the network configuration list. */
export const CONFLIST_NAME = "10-novanet.conflist";

/** Where `install` puts things and what it puts there. */
export interface InstallOptions {
  readonly binDir: string;
  readonly confDir: string;
  /** Plugins after ours in the list, such as portmap. */
  readonly chain: readonly string[];
  readonly agentSocket: string;
}

/** A fault that a person can mend; the message says what it is. */
export class InstallError extends Error {
  override readonly name = "InstallError";
}

/** The capability each known chained plugin takes from the runtime. */
const CAPABILITY_OF: Readonly<Record<string, string>> = {
  portmap: "portMappings",
  bandwidth: "bandwidth",
};

/**
 * Puts the plugin and its configuration in place. Each appears whole, by rename within its folder, the
 * configuration last: a runtime that sees it can use it.
 *
 * @param executable path of the program to copy.
 * @param versions of the specification that all plugins of the chain speak.
 * @returns the paths that were written.
 * @throws {InstallError}
 */
export function install(
  executable: string,
  options: InstallOptions,
  versions: readonly string[] = SUPPORTED_VERSIONS,
): string[] {
  const plugin = `${options.binDir}/${PLUGIN_NAME}`;
  const conflist = `${options.confDir}/${CONFLIST_NAME}`;
  const text = `${JSON.stringify(conflistFor(options, versions), undefined, 2)}\n`;
  attempt(`make ${options.binDir} and ${options.confDir}`, () => {
    Deno.mkdirSync(options.binDir, { recursive: true });
    Deno.mkdirSync(options.confDir, { recursive: true });
  });
  attempt(`put ${plugin} in place`, () => {
    replace(plugin, 0o755, (temporary) => Deno.copyFileSync(executable, temporary));
  });
  attempt(`put ${conflist} in place`, () => {
    replace(conflist, 0o644, (temporary) => Deno.writeTextFileSync(temporary, text));
  });
  return [plugin, conflist];
}

/** The plugin's executable. */
export function pluginPath({ binDir }: Pick<InstallOptions, "binDir">): string {
  return `${binDir}/${PLUGIN_NAME}`;
}

/**
 * Takes away what {@link install} put there, the configuration first. What is not there is no fault.
 *
 * @param keepPlugin leaves the executable: runtimes need it for the DEL of pods that run.
 * @returns the paths that were removed.
 * @throws {InstallError}
 */
export function uninstall(
  options: Pick<InstallOptions, "binDir" | "confDir">,
  { keepPlugin = false }: { keepPlugin?: boolean } = {},
): string[] {
  const paths = [
    `${options.confDir}/${CONFLIST_NAME}`,
    ...keepPlugin ? [] : [pluginPath(options)],
  ];
  return paths.filter((path) => attempt(`remove ${path}`, () => removeIfThere(path)));
}

/**
 * The host interfaces of the pods of this node, as novanet-agent names them.
 * @returns such as `nv0123456789a`
 * @throws {InstallError}
 */
export function podInterfaces(): string[] {
  return attempt("see whether pods run (--force does not look)", () => {
    // Deno leaves /proc to programs that may do everything.
    const cat = new Deno.Command("/bin/cat", { args: ["/proc/net/dev"], stdin: "null" });
    const { success, stdout, stderr } = cat.outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return podInterfacesIn(new TextDecoder().decode(stdout));
  });
}

/** The same in the text of /proc/net/dev. Pure. */
export function podInterfacesIn(netDev: string): string[] {
  return [...netDev.matchAll(/^\s*(nv[0-9A-Za-z_.-]{11}):/gm)].map(([, name]) => name ?? "");
}

/** Chained plugins that leave the hooks of the host interface alone, so that ADD need not wait for TCX. */
const LEAVE_HOOKS_ALONE: ReadonlySet<string> = new Set(["firewall", "portmap", "sbr", "tuning"]);

/** The network configuration list that {@link install} writes. */
export function conflistFor(options: InstallOptions, versions: readonly string[]) {
  const own = {
    type: PLUGIN_NAME,
    capabilities: { ips: true },
    ...(options.chain.every((name) => LEAVE_HOOKS_ALONE.has(name)) ? { quickAttach: true } : {}),
    ...(options.agentSocket === DEFAULT_AGENT_SOCKET ? {} : { agentSocket: options.agentSocket }),
  };
  return {
    cniVersion: versions.includes("1.0.0") ? "1.0.0" : versions.at(-1),
    cniVersions: versions,
    name: "novanet",
    plugins: [own, ...options.chain.map(chained)],
  };
}

/** @returns configurations in the folder that a runtime takes before ours, since it takes the first by name. */
export function earlierConfigurations(confDir: string): string[] {
  return [...Deno.readDirSync(confDir)]
    .map((entry) => entry.name)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name < CONFLIST_NAME)
    .sort();
}

/**
 * The versions that every plugin of the chain speaks and we do. Lists may name 1.1.0 only when all do:
 * a runtime takes the highest version, and an older portmap would refuse it.
 *
 * @throws {InstallError} when a plugin is missing, does not answer, or shares no version.
 */
export function commonVersions(binDir: string, chain: readonly string[]): string[] {
  let versions: string[] = [...SUPPORTED_VERSIONS];
  for (const name of chain) {
    const theirs = askVersions(`${binDir}/${name}`);
    versions = versions.filter((version) => theirs.includes(version));
    if (versions.length === 0) {
      throw new InstallError(`${binDir}/${name} speaks none of our versions of CNI`);
    }
  }
  return versions;
}

function askVersions(path: string): readonly unknown[] {
  return attempt(`ask ${path} for its CNI versions (--chain names plugins in --bin-dir)`, () => {
    // The command gets no stdin: plugins answer VERSION without it.
    const command = new Deno.Command(path, {
      clearEnv: true,
      env: { CNI_COMMAND: "VERSION" },
      stdin: "null",
    });
    const answer: unknown = JSON.parse(new TextDecoder().decode(command.outputSync().stdout));
    const versions = (answer as { supportedVersions?: unknown } | null)?.supportedVersions;
    if (!Array.isArray(versions)) throw new Error("the answer has no supportedVersions");
    return versions;
  });
}

function chained(name: string) {
  const capability = CAPABILITY_OF[name];
  return {
    type: name,
    ...(capability === undefined ? {} : { capabilities: { [capability]: true } }),
  };
}

/** The temporary name starts with a dot and ends in .tmp: no runtime takes it for a configuration. */
function replace(path: string, mode: number, write: (temporary: string) => void): void {
  const slash = path.lastIndexOf("/");
  const temporary = `${path.slice(0, slash)}/.${path.slice(slash + 1)}.${Deno.pid}.tmp`;
  try {
    write(temporary);
    Deno.chmodSync(temporary, mode);
    sync(temporary);
    Deno.renameSync(temporary, path);
  } catch (thrown) {
    removeIfThere(temporary);
    throw thrown;
  }
}

function sync(path: string): void {
  using file = Deno.openSync(path, { read: true });
  file.syncSync();
}

function removeIfThere(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return false;
    throw thrown;
  }
}

function attempt<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof InstallError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InstallError(`cannot ${what}: ${why}`, { cause });
  }
}
