/** TCX links: programs on an interface that stay there while the link, or its pin, lives. Linux 6.6. */
import { check, isErrno, SysError } from "../errno.ts";
import { Fd } from "../fd.ts";
import { shim } from "../library.ts";
import { cString } from "../memory.ts";
import type { BpfProgram } from "./program.ts";

/** Which way the packets go, as seen from the interface's namespace. */
export type Direction = "ingress" | "egress";

// enum bpf_attach_type and enum bpf_link_type of Linux 6.6
const ATTACH_TYPES = { ingress: 46, egress: 47 } as const;
const LINK_TYPE_TCX = 11;
const LOOPBACK = 1;
const QUERY_ROOM = 64;
const INFO_WORDS = 5;

/** What the kernel knows of a link. */
export interface TcxLinkInfo {
  readonly id: number;
  readonly progId: number;
  /** 0 after the interface has gone or the link was detached. */
  readonly ifindex: number;
  readonly attach: Direction;
}

/** One program on a hook. */
export interface TcxAttachment {
  readonly progId: number;
  /** 0 when it was attached without a link. */
  readonly linkId: number;
}

/** Programs on one hook in the order in which they run. @throws SysError ENODEV, EINVAL before 6.6 */
export function queryTcx(ifindex: number, direction: Direction): TcxAttachment[] {
  const programs = new Uint32Array(QUERY_ROOM);
  const links = new Uint32Array(QUERY_ROOM);
  const count = new Uint32Array([QUERY_ROOM]);
  const type = ATTACH_TYPES[direction];
  const result = shim().nv_tcx_query(ifindex, type, programs, links, count);
  check(`tcx ${direction} of interface ${ifindex}`, result);
  return Array.from({ length: count[0] ?? 0 }, (_, i) => ({
    progId: programs[i] ?? 0,
    linkId: links[i] ?? 0,
  }));
}

/** Does this kernel have TCX? @throws SysError when it may not be asked */
export function tcxSupported(): boolean {
  try {
    queryTcx(LOOPBACK, "ingress");
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL")) return false;
    throw error;
  }
}

/** A link; owns one descriptor of it. */
export class TcxLink implements Disposable {
  readonly #fd: Fd;

  /** @param fd belongs to the link from here on */
  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /**
   * Attaches a program before those that are there (one that runs earlier can end the chain), in the caller's network namespace.
   * @throws SysError ENODEV, EINVAL before Linux 6.6
   */
  static attach(program: BpfProgram, ifindex: number, direction: Direction): TcxLink {
    const fd = shim().nv_tcx_attach(program.fd, ifindex, ATTACH_TYPES[direction]);
    const what = `tcx ${direction} link of interface ${ifindex}`;
    return new TcxLink(new Fd(check(what, fd), what));
  }

  /**
   * As attach(), on a thread of its own: the kernel takes milliseconds. The program must stay open until the
   * promise is settled.
   * @throws SysError ENODEV, EINVAL before Linux 6.6
   */
  static async attachAsync(
    program: BpfProgram,
    ifindex: number,
    direction: Direction,
  ): Promise<TcxLink> {
    const type = ATTACH_TYPES[direction];
    const fd = await shim().tcx_attach_async(program.fd, ifindex, type);
    const what = `tcx ${direction} link of interface ${ifindex}`;
    return new TcxLink(new Fd(check(what, fd), what));
  }

  /** @throws SysError ENOENT when nothing is pinned there, EINVAL when it is no TCX link */
  static openPinned(path: string): TcxLink {
    const fd = check(`open ${path}`, shim().nv_open_pinned(cString(path)));
    return TcxLink.#checked(new Fd(fd, `link ${path}`));
  }

  /**
   * What a pinned link says of itself, asked on a thread of its own: the kernel waits for all who change interfaces.
   * @throws SysError ENOENT when nothing is pinned there, EINVAL when it is no TCX link
   */
  static async pinnedInfo(path: string): Promise<TcxLinkInfo> {
    using fd = new Fd(check(`open ${path}`, shim().nv_open_pinned(cString(path))), `link ${path}`);
    const words = new Uint32Array(INFO_WORDS);
    check("link info", await shim().link_info_async(fd.fd, words));
    return infoOf(words);
  }

  /** @throws SysError ENOENT when there is no link of this id, EINVAL when it is no TCX link */
  static byId(id: number): TcxLink {
    const fd = check(`link ${id}`, shim().nv_link_by_id(id));
    return TcxLink.#checked(new Fd(fd, `link ${id}`));
  }

  static #checked(fd: Fd): TcxLink {
    try {
      readInfo(fd.fd);
      return new TcxLink(fd);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** @throws UseAfterCloseError */
  get fd(): number {
    return this.#fd.fd;
  }

  /** Asks the kernel. @throws SysError */
  info(): TcxLinkInfo {
    return readInfo(this.fd);
  }

  /** Swaps the program; no packet passes in between. @throws SysError */
  update(program: BpfProgram): void {
    check(`update of ${this.#fd.what}`, shim().nv_link_update(this.fd, program.fd));
  }

  /**
   * Keeps it attached at a path of a bpffs. Removing that path takes the program off a moment later;
   * detach() does it at once.
   * @throws SysError EEXIST when something is there
   */
  pin(path: string): void {
    check(`pin ${path}`, shim().nv_pin(this.fd, cString(path)));
  }

  /** Takes the program off, pins or not. @throws SysError */
  detach(): void {
    check(`detach of ${this.#fd.what}`, shim().nv_link_detach(this.fd));
  }

  /** As detach(), on a thread of its own. Not to be closed until the promise is settled. @throws SysError */
  async detachAsync(): Promise<void> {
    check(`detach of ${this.#fd.what}`, await shim().link_detach_async(this.fd));
  }

  /** Closes the descriptor; without a pin the program is taken off. */
  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function readInfo(fd: number): TcxLinkInfo {
  const words = new Uint32Array(INFO_WORDS);
  check("link info", shim().nv_link_info(fd, words));
  return infoOf(words);
}

function infoOf(words: Uint32Array): TcxLinkInfo {
  const [type = 0, id = 0, progId = 0, ifindex = 0, attach = 0] = words;
  if (type !== LINK_TYPE_TCX) throw new SysError(`link of type ${type}, not TCX`, 22);
  return { id, progId, ifindex, attach: attach === ATTACH_TYPES.egress ? "egress" : "ingress" };
}
