import assert from "node:assert/strict";
import { RtnetlinkSocket } from "../netlink/rtnetlink_socket.ts";
import { eventually } from "./eventually.ts";

const NETNS_DIR = "/run/netns";

/** What to keep an eye on. By default nothing that other processes on the machine make. */
export interface LeakLedgerOptions {
  /** Named network namespaces; default those of this process's labs. */
  readonly netns?: RegExp | undefined;
  /** Links of this process's network namespace; default none. */
  readonly links?: RegExp | undefined;
  /** Folders, on bpffs for example, whose entries count; one that is not there is empty. */
  readonly dirs?: readonly string[] | undefined;
}

/** Namespaces, links, pins and child processes as they were at one moment. */
export class LeakLedger {
  readonly #options: LeakLedgerOptions;
  readonly #before: ReadonlySet<string>;

  private constructor(options: LeakLedgerOptions, before: ReadonlySet<string>) {
    this.#options = options;
    this.#before = before;
  }

  /** Writes down what is there now. */
  static take(options: LeakLedgerOptions = {}): LeakLedger {
    return new LeakLedger(options, inventory(options));
  }

  /** @returns what is there now and was not there then, e.g. `netns nvt-7-0`. */
  leaks(): string[] {
    return [...inventory(this.#options)].filter((each) => !this.#before.has(each)).sort();
  }

  /**
   * Waits for the kernel to finish what it does in the background, then fails if something was left.
   * @throws {EventuallyError} naming what was left.
   */
  async assertNoLeaks(timeoutMs = 5000): Promise<void> {
    await eventually(() => {
      assert.deepEqual(this.leaks(), []);
      return true;
    }, { timeoutMs, what: "nothing left behind" });
  }
}

function inventory(options: LeakLedgerOptions): Set<string> {
  const netns = options.netns ?? new RegExp(`^nvt-${Deno.pid}-`);
  return new Set([
    ...entries(NETNS_DIR).filter((name) => netns.test(name)).map((name) => `netns ${name}`),
    ...linkNames(options.links).map((name) => `link ${name}`),
    ...(options.dirs ?? []).flatMap(walk).map((path) => `file ${path}`),
    ...descendants().map((process) => `process ${process}`),
  ]);
}

function linkNames(pattern: RegExp | undefined): string[] {
  if (pattern === undefined) return [];
  using links = RtnetlinkSocket.openIn();
  return links.linkList().map(({ name }) => name).filter((name) => pattern.test(name));
}

function entries(dir: string): string[] {
  try {
    return Array.from(Deno.readDirSync(dir), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function walk(dir: string): string[] {
  return entries(dir).map((name) => `${dir}/${name}`).flatMap((path) =>
    Deno.lstatSync(path).isDirectory ? [path, ...walk(path)] : [path]
  );
}

/** Processes that came from this one, as `pid name`. */
function descendants(): string[] {
  const processes = entries("/proc").filter((name) => /^[0-9]+$/.test(name)).flatMap(readProcess);
  const found: string[] = [];
  const parents = [Deno.pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const { pid, ppid, name } of processes) {
      if (ppid !== parent) continue;
      found.push(`${pid} ${name}`);
      parents.push(pid);
    }
  }
  return found;
}

function readProcess(pid: string): { pid: number; ppid: number; name: string }[] {
  try {
    // pid (name) state ppid ...; the name may hold spaces and parentheses.
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const ppid = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return [{ pid: Number(pid), ppid, name }];
  } catch {
    // It ended in between.
    return [];
  }
}
