const CONFIG_DIRS = [
  "etc/NetworkManager/conf.d",
  "run/NetworkManager/conf.d",
  "usr/lib/NetworkManager/conf.d",
];
/** `unmanaged-devices=interface-name:nv*`, alone or in a list, or a match of all veths. */
const UNMANAGED = /^\s*unmanaged-devices\s*\+?=.*(interface-name:nv\S*|type:veth|driver:veth)/m;

/**
 * Whether a NetworkManager runs that nobody told to leave our interfaces alone.
 * @param root for tests: where /proc, /etc, /run and /usr are
 */
export function networkManagerInterferes(root = ""): boolean {
  if (!isRunning(root)) return false;
  const files = CONFIG_DIRS.flatMap((dir) => listDir(`${root}/${dir}`))
    .concat(`${root}/etc/NetworkManager/NetworkManager.conf`);
  return !files.some((path) => UNMANAGED.test(readText(path)));
}

function isRunning(root: string): boolean {
  return listDir(`${root}/proc`).some((path) =>
    /\/\d+$/.test(path) && readText(`${path}/comm`).trim() === "NetworkManager"
  );
}

function listDir(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => `${dir}/${name}`);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
