import { SysError } from "../ffi/errno.ts";

/** The kernel's refusal of a netlink request; `code` and `errno` as in every SysError. */
export class NetlinkError extends SysError {
  override readonly name = "NetlinkError";
  /** What the kernel said about it (extended acknowledgement), or "". */
  readonly kernelMessage: string;

  /**
   * @param op the operation and its object, e.g. `create veth nv0123`.
   * @param errno positive, as in errno(3).
   */
  constructor(op: string, errno: number, kernelMessage = "") {
    super(op, errno, kernelMessage);
    this.kernelMessage = kernelMessage;
  }
}

/** Bytes that are no netlink message. */
export class NetlinkDecodeError extends Error {
  override readonly name = "NetlinkDecodeError";
  /** What was being read, e.g. `attribute`. */
  readonly what: string;
  /** Where in the bytes handed to the decoder. */
  readonly offset: number;

  constructor(what: string, offset: number, why: string) {
    super(`Cannot decode netlink ${what} at byte ${offset}: ${why}`);
    this.what = what;
    this.offset = offset;
  }
}
