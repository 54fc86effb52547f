import { shim } from "../ffi/library.ts";
import type { Mac } from "../net/mac.ts";
import { RtnetlinkSocket } from "../netlink/rtnetlink_socket.ts";
import { openNetns } from "../netns/netns.ts";
import {
  type CommandOptions,
  type CommandResult,
  runCommand,
  RunningCommand,
  tryCommand,
} from "./command.ts";

// Loaded here and not within a test, whose sanitizer would take a library that stays for a leak.
shim();

/** One end of a veth pair in the lab. */
export interface LabVethEnd {
  readonly netns: LabNetns;
  /** At most 15 bytes. */
  readonly name: string;
  readonly mac?: Mac | undefined;
  /** Bytes; the kernel's default 1500. */
  readonly mtu?: number | undefined;
}

/** A network namespace of a lab, with loopback up. It lives as long as the lab. */
export class LabNetns {
  /** As `ip netns` lists it. */
  readonly name: string;
  /** Its file: what a CNI runtime passes as CNI_NETNS. */
  readonly path: string;
  readonly #lab: NetnsLab;

  /** Only for NetnsLab. */
  constructor(lab: NetnsLab, name: string) {
    this.#lab = lab;
    this.name = name;
    this.path = `/run/netns/${name}`;
  }

  /** Runs a command inside to its end. @throws {CommandError} when it fails or runs too long. */
  run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.#inside(argv), options);
  }

  /** Runs a command inside, whatever its exit code. @throws {CommandError} when it runs too long. */
  try(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return tryCommand(this.#inside(argv), options);
  }

  /** Starts a command inside. The lab kills it in the end when nobody did before. */
  start(argv: readonly string[], options: CommandOptions = {}): RunningCommand {
    return this.#lab.start(this.#inside(argv), options);
  }

  /** Opens a rtnetlink socket inside. The caller closes it. @throws {SysError} */
  rtnetlink(): RtnetlinkSocket {
    return RtnetlinkSocket.openIn(this.path);
  }

  /** nsenter, not `ip netns exec`: that one mounts a new /sys, without the pins of bpffs. */
  #inside(argv: readonly string[]): string[] {
    return ["nsenter", `--net=${this.path}`, "--", ...argv];
  }
}

/**
 * Network namespaces, veth pairs and processes of one test. Disposing of it ends and removes all of them,
 * also when some of that fails. Needs root.
 */
export class NetnsLab implements AsyncDisposable {
  static #next = 0;
  readonly #resources = new AsyncDisposableStack();

  /**
   * Makes a namespace, named nvt-<pid>-<n>.
   * @throws {CommandError} when the kernel refuses.
   */
  async addNetns(): Promise<LabNetns> {
    const name = await this.#makeNetns();
    const remove = async () => void await runCommand(["ip", "netns", "delete", name]);
    if (this.#resources.disposed) {
      await remove();
      throw new ReferenceError("the lab is gone");
    }
    const netns = new LabNetns(this, name);
    this.#resources.defer(remove);
    using links = netns.rtnetlink();
    links.linkSet(links.linkGet("lo").index, { up: true });
    return netns;
  }

  /**
   * Joins two namespaces by a veth pair; both ends are up.
   * @throws {NetlinkError}
   */
  addVeth(end: LabVethEnd, peer: LabVethEnd): void {
    using peerNetns = openNetns(peer.netns.path);
    using links = end.netns.rtnetlink();
    const { netns: _end, ...endSpec } = end;
    const { netns: _peer, ...peerSpec } = peer;
    links.vethCreate(endSpec, { ...peerSpec, netnsFd: peerNetns.fd });
    links.linkSet(links.linkGet(end.name).index, { up: true });
    using peerLinks = peer.netns.rtnetlink();
    peerLinks.linkSet(peerLinks.linkGet(peer.name).index, { up: true });
  }

  /**
   * Starts a command outside of the lab's namespaces. The lab kills it in the end when nobody did before.
   * @throws {ReferenceError} when the lab is gone already.
   */
  start(argv: readonly string[], options: CommandOptions = {}): RunningCommand {
    // Before it runs: nobody would end it.
    if (this.#resources.disposed) throw new ReferenceError("the lab is gone");
    return this.own(RunningCommand.start(argv, options));
  }

  /** Disposes of something together with the lab, before what was there already. */
  own<T extends AsyncDisposable | Disposable>(resource: T): T {
    return this.#resources.use(resource);
  }

  /** Does something when the lab is disposed of. */
  defer(action: () => void | Promise<void>): void {
    this.#resources.defer(action);
  }

  /**
   * Removes all, latest first.
   * @throws {SuppressedError} or the one error, when something could not be removed; the rest is.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  /** Tests may run in several isolates of one process, which count each for itself: the kernel decides who has a name. */
  async #makeNetns(): Promise<string> {
    for (;;) {
      const name = `nvt-${Deno.pid}-${NetnsLab.#next++}`;
      const argv = ["ip", "netns", "add", name];
      const result = await tryCommand(argv);
      if (result.code === 0) return name;
      if (!result.stderr.includes("File exists")) await runCommand(argv);
    }
  }
}
