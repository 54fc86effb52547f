import { join } from "node:path";
import { ROOT } from "../../tools/build/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { ExecutableName } from "../../tools/permissions.ts";
import { targetOf } from "../../tools/build/target.ts";

/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program is given beside its arguments. */
export interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

// What the programs write to stays in the node: all of it is mounted anew.
const HOLDER = `
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/lib
  mkdir -p /run/netns /sys/fs/bpf
  mount -t bpf bpf /sys/fs/bpf
  ip link set lo up
  ip netns add pod
  echo ready
  exec sleep infinity`;

/** A node in mount and network namespaces of its own, with one pod's namespace at /run/netns/pod. */
export class PermissionNode implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly #daemons: Deno.ChildProcess[] = [];

  private constructor(holder: Deno.ChildProcess) {
    this.#holder = holder;
  }

  /** Makes one. */
  static async make(): Promise<PermissionNode> {
    const holder = new Deno.Command("unshare", {
      args: ["--mount", "--net", "--propagation", "private", "sh", "-eu", "-c", HOLDER],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const node = new PermissionNode(holder);
    const reader = holder.stdout.getReader();
    const first = await reader.read();
    await reader.cancel();
    if (first.done) throw new Error("Cannot make a node: its first process ended");
    return node;
  }

  /** A path of the node as this process reaches it. */
  path(inside: string): string {
    return `/proc/${this.#holder.pid}/root${inside}`;
  }

  /** The command line of an executable: the one in dist/, or its bundle under Deno with other permissions. */
  argv(name: ExecutableName, permissions?: readonly string[]): [string, ...string[]] {
    if (permissions === undefined) return [join(ROOT, targetOf().dist, name)];
    const bundle = join(ROOT, targetOf().work, "compile", name, "main.js");
    return [Deno.execPath(), "run", "--quiet", "--no-prompt", ...permissions, bundle];
  }

  /** Runs a program to its end. */
  async run(argv: readonly string[], given: Given = {}, timeoutMs = 20_000): Promise<Ended> {
    const child = this.#spawn(argv, given);
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(given.stdin ?? "")).catch(() => {});
    await writer.close().catch(() => {});
    return await ended(child, timeoutMs);
  }

  /**
   * Starts a daemon and waits until it has made its socket. It ends with the node if {@linkcode Daemon.stop} does
   * not end it.
   * @throws {Error} when it ends or 10 s pass first
   */
  async start(
    argv: readonly string[],
    socket: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Daemon> {
    const child = this.#spawn(argv, { env });
    this.#daemons.push(child);
    await child.stdin.close();
    const result = ended(child, 60_000);
    let over: Ended | undefined;
    result.then((value) => over = value);
    await eventually(() => over !== undefined || Deno.statSync(this.path(socket)).isSocket, {
      timeoutMs: 10_000,
      what: socket,
    });
    if (over) throw new Error(`${argv.join(" ")}: exit code ${over.code}\n${over.stderr}`);
    return { stop: () => (stop(child, "SIGTERM"), result) };
  }

  #spawn(argv: readonly string[], given: Given): Deno.ChildProcess {
    return new Deno.Command("nsenter", {
      args: [
        "--target",
        `${this.#holder.pid}`,
        "--mount",
        "--net",
        "--root",
        "--wd",
        "--",
        ...argv,
      ],
      env: { NO_COLOR: "1", ...given.env },
      cwd: "/",
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#daemons) {
      stop(child, "SIGKILL");
      await child.status;
    }
    stop(this.#holder, "SIGKILL");
    await this.#holder.status;
  }
}

/** A running daemon. */
export interface Daemon {
  /** Asks it to end and waits for that. */
  stop(): Promise<Ended>;
}

function stop(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // has ended
  }
}

async function ended(child: Deno.ChildProcess, timeoutMs: number): Promise<Ended> {
  const timer = setTimeout(() => stop(child, "SIGKILL"), timeoutMs);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}
