/**
 * The encapsulation when nobody names one: geneve where the kernel has it, built in or as a module,
 * else vxlan.
 * @param modulesDir directory of the running kernel's modules
 */
export function detectTunnelProtocol(
  modulesDir = `/lib/modules/${Deno.osRelease()}`,
): "geneve" | "vxlan" {
  const lists = ["modules.builtin", "modules.dep"];
  const has = lists.some((name) => /(^|\/)geneve\.ko/m.test(readText(`${modulesDir}/${name}`)));
  return has || exists("/sys/module/geneve") ? "geneve" : "vxlan";
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
