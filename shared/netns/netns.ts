import * as sys from "../ffi/sys.ts";
import { Fd } from "../ffi/fd.ts";

/** The calling thread's own namespace. */
const OWN_NETNS = "/proc/thread-self/ns/net";

/**
 * A network namespace: a path such as /run/netns/NAME or /proc/PID/ns/net, an open descriptor of
 * one (which stays the caller's), or undefined for the process's own.
 */
export type Netns = string | Fd | undefined;

/**
 * Opens a network namespace, which keeps it alive. The caller closes the descriptor.
 * @param path absent for the process's own.
 * @throws {SysError} ENOENT when it is gone.
 */
export function openNetns(path: string = OWN_NETNS): Fd {
  return sys.open(path, sys.O_RDONLY);
}

/**
 * Calls a function with a descriptor of the namespace, which is closed afterwards if it was opened here.
 * @throws {SysError} when it can't be opened; whatever the function throws.
 */
export function withNetnsFd<T>(netns: string | Fd, use: (fd: number) => T): T {
  if (netns instanceof Fd) return use(netns.fd);
  using opened = openNetns(netns);
  return use(opened.fd);
}

/**
 * Runs a synchronous function with the thread inside a network namespace, and comes back whatever it does.
 * When the thread can't come back the process ends: later work would land in the wrong namespace.
 * @param use must not be asynchronous: other tasks would run inside the namespace at its first await.
 * @returns what the function returned.
 * @throws {SysError} when the namespace can't be entered; whatever the function throws.
 */
export function inNetns<T>(netns: Netns, use: () => T extends PromiseLike<unknown> ? never : T): T {
  if (netns === undefined) return use();
  using home = openNetns();
  withNetnsFd(netns, (fd) => sys.setns(fd, sys.CLONE_NEWNET));
  try {
    return use();
  } finally {
    goHome(home);
  }
}

function goHome(home: Fd): void {
  try {
    sys.setns(home.fd, sys.CLONE_NEWNET);
  } catch (error) {
    console.error(`novanet: cannot leave a network namespace, ending: ${error}`);
    Deno.exit(70);
  }
}

/**
 * What tells one network namespace from another while it lives: device and inode of its nsfs file.
 * @returns e.g. `4:4026532281`.
 * @throws {Deno.errors.NotFound} when the path is gone.
 */
export function netnsIdentity(path: string = OWN_NETNS): string {
  const { dev, ino } = Deno.statSync(path);
  return `${dev}:${ino}`;
}
