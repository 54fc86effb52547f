import { basename, dirname } from "node:path";
import type { Fault } from "../../shared/doctor/fault.ts";

const CONFLIST = "10-novanet.conflist";
const PLUGIN = "novanet-cni";
const SOCKET_MODE = 0o600;
/** Bits that let others into a folder, or change what is in it. */
const OTHERS = 0o027;
const MODE_BITS = 0o777;
const STICKY = 0o1000;
const ROOT = 0;

/** What NovaNet puts into the folder of its sockets. */
const OWN_SOCKETS = ["novanet.sock", "cni.sock", "dataplane.sock", "ebpf-services.sock"];
const LOCK_SUFFIX = ".lock";

/** A daemon's socket, as it was said where it is. */
export interface LocalSocket {
  readonly path: string;
  /** NovaNet's daemon was asked there, and answered. */
  readonly answers: boolean;
}

/** Where to look. */
export interface LocalPaths {
  readonly sockets: readonly LocalSocket[];
  /** The container runtime's folder of network configurations. */
  readonly cniConfDir: string;
  /** The container runtime's folder of plugins. */
  readonly cniBinDir: string;
}

/** What can be seen without the daemons: the sockets' modes, and what the container runtime needs. */
export function localFaults({ sockets, cniConfDir, cniBinDir }: LocalPaths): Fault[] {
  return [...socketFaults(sockets), ...cniFaults(cniConfDir, cniBinDir)];
}

/** A path may be mistyped: whose socket does not answer, its modes and those of its folder are not NovaNet's. */
function socketFaults(sockets: readonly LocalSocket[]): Fault[] {
  const others = sockets.filter(({ answers }) => !answers).map(({ path }) => path);
  const answering = sockets.filter(({ answers }) => answers).map(({ path }) => path);
  const folders = [...new Set(answering.map((path) => dirname(path)))];
  const names = new Set([...OWN_SOCKETS, ...answering.map((path) => basename(path))]);
  const own = folders.filter((folder) => isOwnFolder(folder, names));
  const beside = own.flatMap((folder) => OWN_SOCKETS.map((name) => `${folder}/${name}`));
  return [
    ...others.flatMap(noSocket),
    ...[...new Set([...answering, ...beside])].flatMap(modeFaults),
    ...folders.flatMap((folder) => folderFaults(folder, own.includes(folder))),
  ];
}

function noSocket(path: string): Fault[] {
  if (stat(path)?.isSocket !== false) return [];
  const remedy = "give the right path, or move the file away and start the daemon again";
  return [{ kind: "socket", object: path, expected: "a socket", found: "another file", remedy }];
}

function modeFaults(path: string): Fault[] {
  const info = stat(path);
  const mode = (info?.mode ?? 0) & MODE_BITS;
  if (info?.isSocket !== true || mode === SOCKET_MODE) return [];
  return [{
    kind: "socket",
    object: path,
    expected: `mode ${octal(SOCKET_MODE)}`,
    found: `mode ${octal(mode)}`,
    remedy: "--fix sets the mode",
    repair: () => Deno.chmodSync(path, SOCKET_MODE),
  }];
}

/** Whether a folder is root's, and has nothing in it that NovaNet did not put there. */
function isOwnFolder(path: string, sockets: ReadonlySet<string>): boolean {
  const info = stat(path);
  if (info === undefined || info.uid !== ROOT || ((info.mode ?? 0) & STICKY) !== 0) {
    return false;
  }
  return [...Deno.readDirSync(path)].every(({ name }) => sockets.has(without(name, LOCK_SUFFIX)));
}

function without(name: string, suffix: string): string {
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

function folderFaults(path: string, own: boolean): Fault[] {
  const mode = (stat(path)?.mode ?? 0) & (MODE_BITS | STICKY);
  if ((mode & OTHERS) === 0) return [];
  const fault = { kind: "socket", object: path, found: `mode ${octal(mode)}` };
  if (!own) {
    const remedy = "give the sockets a folder in which nothing else is, such as /run/novanet";
    const expected = "a folder that others may not enter";
    return [{ ...fault, expected, remedy, warning: true }];
  }
  return [{
    ...fault,
    expected: `mode ${octal(mode & ~OTHERS)}`,
    remedy: "--fix sets the mode",
    repair: () => Deno.chmodSync(path, mode & ~OTHERS),
  }];
}

/** Without the one and the other NovaNet is not this machine's CNI network, which is no fault. */
function cniFaults(confDir: string, binDir: string): Fault[] {
  const [conf, plugin] = [`${confDir}/${CONFLIST}`, `${binDir}/${PLUGIN}`];
  const [hasConf, info] = [stat(conf) !== undefined, stat(plugin)];
  const remedy = `run novanet-cni install --bin-dir ${binDir} --conf-dir ${confDir}`;
  const fault = { kind: "cni", remedy };
  const faults: Fault[] = [];
  if (hasConf && info === undefined) {
    const found = "no such file: the container runtime cannot add pods";
    faults.push({ ...fault, object: plugin, expected: "the plugin", found });
  }
  if (info !== undefined && ((info.mode ?? 0) & 0o111) === 0) {
    faults.push({ ...fault, object: plugin, expected: "executable", found: "not executable" });
  }
  if (!hasConf && info !== undefined) {
    const found = "no such file: the container runtime does not use NovaNet";
    faults.push({ ...fault, object: conf, expected: "the network configuration", found });
  }
  return hasConf ? [...faults, ...contentFaults(conf, remedy), ...earlier(confDir)] : faults;
}

function contentFaults(conf: string, remedy: string): Fault[] {
  const expected = `a list whose first plugin is ${PLUGIN}`;
  const fault = { kind: "cni", object: conf, expected, remedy };
  try {
    const { plugins } = JSON.parse(Deno.readTextFileSync(conf)) as {
      plugins?: readonly { type?: unknown }[];
    };
    const first = plugins?.[0]?.type;
    return first === PLUGIN ? [] : [{ ...fault, found: `the first plugin is ${String(first)}` }];
  } catch (error) {
    return [{ ...fault, found: error instanceof Error ? error.message : String(error) }];
  }
}

/** A runtime takes the first configuration by name. */
function earlier(confDir: string): Fault[] {
  return [...Deno.readDirSync(confDir)].map(({ name }) => name)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name < CONFLIST).sort()
    .map((name) => ({
      kind: "cni",
      object: `${confDir}/${name}`,
      expected: `no configuration before ${CONFLIST}`,
      found: "the container runtime takes this one first",
      remedy: "remove or rename it, unless it is meant to be the pods' network",
      warning: true,
    }));
}

function stat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
