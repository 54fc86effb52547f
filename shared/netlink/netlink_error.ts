/** The kernel's refusal of a request. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  /** The operation and its object, e.g. `vethCreate nv0123`. */
  readonly op: string;
  /** Positive, as in errno(3). */
  readonly errno: number;
  /** What the kernel said about it (extended acknowledgement), or "". */
  readonly kernelMessage: string;

  constructor(op: string, errno: number, errnoName: string, kernelMessage = "") {
    super(`Cannot ${op}: ${errnoName}${kernelMessage === "" ? "" : ` (kernel: ${kernelMessage})`}`);
    this.op = op;
    this.errno = errno;
    this.kernelMessage = kernelMessage;
  }
}

/** Bytes that are no netlink message, or an answer that breaks the protocol. */
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
