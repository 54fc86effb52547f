/** Programs on the hooks of interfaces. */

import {
  attachClsact,
  type BpfProgram,
  detachClsact,
  type Direction,
  queryClsact,
  TcxLink,
} from "../../shared/ffi/bpf.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { unlink } from "../../shared/ffi/files.ts";
import { ifIndextoname, ifNametoindex } from "../../shared/ffi/sys.ts";
import { RpcCode } from "../../shared/rpc/errors.ts";
import { SerialQueue } from "../queue/serial_queue.ts";
import type { HandoverMap } from "../maps/handover.ts";
import { openLink, queryFilter } from "./hooks.ts";
import { linkPin, listPins, pinnedProgramIds } from "./pins.ts";

/** More changes than pods that a node can have. */
const MOST_QUEUED = 4096;

/** How programs come onto hooks: by TCX links (Linux 6.6), else by filters on the clsact qdisc. */
export type AttachMode = "tcx" | "clsact";

export type { Direction };

/** The hooks of an interface. */
export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** There is no interface of this name in the dataplane's network namespace. */
export class InterfaceNotFoundError extends Error {
  override readonly name = "InterfaceNotFoundError";
  readonly rpcCode = RpcCode.NOT_FOUND;

  constructor(readonly interfaceName: string, options?: ErrorOptions) {
    super(`interface ${JSON.stringify(interfaceName)} does not exist`, options);
  }
}

/** One program on one hook. */
export interface Attachment {
  readonly interfaceName: string;
  readonly ifindex: number;
  readonly direction: Direction;
  readonly programId: number;
}

/** Options of {@linkcode Attachments}. */
export interface AttachmentsOptions {
  readonly pinDir: string;
  readonly mode: AttachMode;
  /** The program of each hook; they stay the caller's. */
  readonly programs: Readonly<Record<Direction, BpfProgram>>;
  /** Says which interface's program moves from a filter to TCX. */
  readonly handover: HandoverMap;
  /** All interfaces of the network namespace, by index. */
  readonly interfaces: () => number[];
}

/** Puts our programs on hooks and takes them off; other people's stay. All calls ask the kernel. */
export class Attachments {
  readonly #options: AttachmentsOptions;
  /** The kernel takes one change at a time, and milliseconds for each. */
  readonly #queue = new SerialQueue(MOST_QUEUED);
  /** With TCX: interfaces that may have filters of ours, which are to move. */
  readonly #filtered = new Set<number>();

  constructor(options: AttachmentsOptions) {
    this.#options = options;
  }

  /** How programs are attached. */
  get mode(): AttachMode {
    return this.#options.mode;
  }

  /** The kernel's id of the program that belongs on a hook. @throws SysError */
  programId(direction: Direction): number {
    return this.#options.programs[direction].info().id;
  }

  /**
   * Brings what an earlier dataplane attached to the present programs; no packet passes in between.
   *
   * @returns How many hooks have a program.
   * @throws SysError
   */
  async adopt(): Promise<number> {
    if (this.mode === "tcx") this.#adoptFilters();
    const attachments = this.list();
    for (const { ifindex, direction, programId } of attachments) {
      const program = this.#options.programs[direction];
      if (program.info().id !== programId) await this.#putIfThere(ifindex, direction);
    }
    return attachments.length;
  }

  /**
   * Puts the hook's program on an interface, unless it is there.
   *
   * @param quick Do not wait for TCX, which takes a grace period of RCU: a clsact filter will do until the next call.
   * @throws InterfaceNotFoundError, QueueFullError, SysError
   */
  async attach(interfaceName: string, direction: Direction, quick = false): Promise<void> {
    await this.#queue.run(async () => {
      const ifindex = ifindexOf(interfaceName);
      if (ifindex === undefined) throw new InterfaceNotFoundError(interfaceName);
      try {
        await this.#put(ifindex, direction, quick);
      } catch (error) {
        if (!isGone(error)) throw error;
        throw new InterfaceNotFoundError(interfaceName, { cause: error });
      }
    });
  }

  /** As many as there are take a while, and pods are deleted meanwhile. */
  async #putIfThere(ifindex: number, direction: Direction): Promise<void> {
    try {
      await this.#put(ifindex, direction);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Takes our program off, if it is there. @returns whether it was @throws QueueFullError, SysError */
  async detach(interfaceName: string, direction: Direction): Promise<boolean> {
    return await this.#queue.run(async () => {
      const ifindex = ifindexOf(interfaceName);
      if (ifindex === undefined) {
        this.prune();
        return false;
      }
      return await this.#take(ifindex, direction);
    });
  }

  /** Waits until the changes that were asked for are made. */
  async idle(): Promise<void> {
    await this.#queue.idle();
  }

  /** What is attached now. Pins of interfaces that are gone are removed. @throws SysError */
  list(): Attachment[] {
    if (this.mode === "clsact") return this.#listFilters(this.#options.interfaces());
    return [...this.#listLinks(), ...this.#listFilters(this.#filtered)];
  }

  /** Whether a program of ours is on one hook; unlike list(), it keeps nobody waiting. @throws SysError */
  async isAttached(ifindex: number, direction: Direction): Promise<boolean> {
    const { pinDir } = this.#options;
    if (this.mode === "clsact") {
      const programId = queryFilter(ifindex, direction);
      return programId !== undefined && pinnedProgramIds(pinDir).has(programId);
    }
    if (this.#hasFilter(ifindex, direction)) return true;
    try {
      return (await TcxLink.pinnedInfo(linkPin(pinDir, ifindex, direction))).ifindex === ifindex;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  /** Removes the pins of interfaces that are gone, after all changes that were asked for. @throws QueueFullError, SysError */
  async forgetGone(): Promise<void> {
    await this.#queue.run(() => this.prune());
  }

  /** Removes the pins of interfaces that are gone. @throws SysError */
  prune(): void {
    if (this.mode === "tcx") this.#listLinks();
  }

  async #put(ifindex: number, direction: Direction, quick = false): Promise<void> {
    const { programs, pinDir } = this.#options;
    const program = programs[direction];
    if (this.mode === "clsact") return this.#putFilter(ifindex, direction);
    const path = linkPin(pinDir, ifindex, direction);
    using pinned = openLink(path);
    const info = pinned?.info();
    if (pinned !== undefined && info?.ifindex === ifindex) {
      this.#endMove(ifindex, direction);
      if (info.progId !== program.info().id) pinned.update(program);
      return;
    }
    // The pin's interface has gone, and another one got its index.
    unlink(path);
    if (quick) {
      this.#filtered.add(ifindex);
      return this.#putFilter(ifindex, direction);
    }
    if (this.#hasFilter(ifindex, direction)) return await this.#move(ifindex, direction);
    using link = await TcxLink.attachAsync(program, ifindex, direction);
    link.pin(path);
  }

  #putFilter(ifindex: number, direction: Direction): void {
    const program = this.#options.programs[direction];
    if (queryClsact(ifindex, direction) !== program.info().id) {
      attachClsact(program, ifindex, direction);
    }
  }

  /** Whether a filter with a program of ours is on a hook that should have it by TCX. */
  #hasFilter(ifindex: number, direction: Direction): boolean {
    if (!this.#filtered.has(ifindex)) return false;
    const programId = queryFilter(ifindex, direction);
    return programId !== undefined && pinnedProgramIds(this.#options.pinDir).has(programId);
  }

  /** From the filter to TCX: each packet meets the program once, at the one or at the other. */
  async #move(ifindex: number, direction: Direction): Promise<void> {
    const { programs, handover, pinDir } = this.#options;
    handover.begin(ifindex);
    try {
      using link = await TcxLink.attachAsync(programs[direction], ifindex, direction);
      link.pin(linkPin(pinDir, ifindex, direction));
    } catch (error) {
      handover.end();
      throw error;
    }
    // When this fails the handover goes on, with both on the hook, until the next call for it.
    this.#endMove(ifindex, direction);
  }

  #endMove(ifindex: number, direction: Direction): void {
    const { handover } = this.#options;
    if (this.#hasFilter(ifindex, direction)) this.#dropFilter(ifindex, direction);
    if (handover.ifindex === ifindex) handover.end();
  }

  /**
   * The empty qdisc stays, and costs nothing: to take it off the kernel stops the interface for a grace period of RCU, and
   * drops what is sent through it (qdisc_graft).
   */
  #dropFilter(ifindex: number, direction: Direction): void {
    detachClsact(ifindex, direction);
    if (!DIRECTIONS.some((direction) => this.#hasFilter(ifindex, direction))) {
      this.#filtered.delete(ifindex);
    }
  }

  /** Filters that an earlier dataplane left: those that TCX has replaced go, the others wait for their turn. */
  #adoptFilters(): void {
    const { handover, interfaces } = this.#options;
    const links = new Set(
      this.#listLinks().map(({ ifindex, direction }) => `${ifindex} ${direction}`),
    );
    const moving = handover.ifindex;
    const isMoved = (ifindex: number) =>
      ifindex !== moving && DIRECTIONS.every((each) => links.has(`${ifindex} ${each}`));
    const candidates = interfaces().filter((ifindex) => !isMoved(ifindex));
    for (const { ifindex, direction } of this.#listFilters(candidates)) {
      if (!links.has(`${ifindex} ${direction}`)) this.#filtered.add(ifindex);
      else detachClsact(ifindex, direction);
    }
    handover.end();
  }

  async #take(ifindex: number, direction: Direction): Promise<boolean> {
    if (this.mode === "clsact") {
      const programId = queryFilter(ifindex, direction);
      return programId !== undefined && pinnedProgramIds(this.#options.pinDir).has(programId) &&
        detachClsact(ifindex, direction, { removeQdisc: true });
    }
    if (this.#hasFilter(ifindex, direction)) {
      this.#dropFilter(ifindex, direction);
      return true;
    }
    const path = linkPin(this.#options.pinDir, ifindex, direction);
    using link = openLink(path);
    if (link === undefined) return false;
    const attached = link.info().ifindex !== 0;
    if (attached) await link.detachAsync();
    unlink(path);
    return attached;
  }

  #listLinks(): Attachment[] {
    const { pinDir } = this.#options;
    const attachments: Attachment[] = [];
    for (const { file } of listPins(pinDir).links) {
      const path = `${pinDir}/${file}`;
      using link = openLink(path);
      if (link === undefined) continue;
      const { ifindex, progId, attach } = link.info();
      if (ifindex === 0) {
        unlink(path);
        continue;
      }
      // Without a name it went away just now, or lives in another network namespace: its program stays.
      const interfaceName = interfaceNameOf(ifindex) ?? "";
      attachments.push({ interfaceName, ifindex, direction: attach, programId: progId });
    }
    return attachments;
  }

  #listFilters(interfaces: Iterable<number>): Attachment[] {
    const candidates = [...interfaces];
    if (candidates.length === 0) return [];
    const attachments: Attachment[] = [];
    // Another dataplane in this namespace has programs of its own.
    const ours = pinnedProgramIds(this.#options.pinDir);
    for (const ifindex of candidates) {
      const interfaceName = interfaceNameOf(ifindex);
      if (interfaceName === undefined) {
        this.#filtered.delete(ifindex);
        continue;
      }
      for (const direction of DIRECTIONS) {
        const programId = queryFilter(ifindex, direction);
        if (programId === undefined || !ours.has(programId)) continue;
        attachments.push({ interfaceName, ifindex, direction, programId });
      }
    }
    return attachments;
  }
}

function ifindexOf(interfaceName: string): number | undefined {
  try {
    return ifNametoindex(interfaceName);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** The name of an interface; undefined when it is gone. @throws SysError */
export function interfaceNameOf(ifindex: number): string | undefined {
  try {
    return ifIndextoname(ifindex);
  } catch (error) {
    if (isErrno(error, "ENXIO")) return undefined;
    throw error;
  }
}

/** Whether a hook could not be changed because its interface is gone: with it, or with a link that was left behind. */
function isGone(error: unknown): boolean {
  return isErrno(error, "ENODEV") || isErrno(error, "ENOLINK");
}
