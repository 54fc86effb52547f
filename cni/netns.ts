/**
 * Looks at the network namespace of an ADD before anything is made in it.
 *
 * @param path CNI_NETNS.
 * @returns why a pod can't get an interface there, `undefined` when it can. The plugin's own namespace is the
 * node's: an ADD there would move the node's default route.
 */
export function netnsFault(path: string): string | undefined {
  const quoted = JSON.stringify(path);
  const own = Deno.statSync("/proc/self/ns/net");
  let found: Deno.FileInfo;
  try {
    found = Deno.statSync(path);
  } catch (thrown) {
    const missing = thrown instanceof Deno.errors.NotFound;
    return `CNI_NETNS ${quoted} ${missing ? "does not exist" : `can't be read: ${thrown}`}`;
  }
  if (found.dev !== own.dev) return `CNI_NETNS ${quoted} is no network namespace`;
  return found.ino === own.ino ? `CNI_NETNS ${quoted} is the node's own namespace` : undefined;
}
