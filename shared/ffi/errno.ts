/** Errors of system calls. Numbers: include/uapi/asm-generic/errno*.h, the same on x86-64 and arm64. */

const NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  15: "ENOTBLK",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  33: "EDOM",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  37: "ENOLCK",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  67: "ENOLINK",
  71: "EPROTO",
  75: "EOVERFLOW",
  84: "EILSEQ",
  88: "ENOTSOCK",
  89: "EDESTADDRREQ",
  90: "EMSGSIZE",
  91: "EPROTOTYPE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  94: "ESOCKTNOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  105: "ENOBUFS",
  106: "EISCONN",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  114: "EALREADY",
  115: "EINPROGRESS",
  116: "ESTALE",
  524: "ENOTSUPP",
};

/** The symbolic name of an error number, or `errno N` where it has none here. */
export function errnoName(errno: number): string {
  return NAMES[errno] ?? `errno ${errno}`;
}

/** A system call or a libbpf call that failed. */
export class SysError extends Error {
  override readonly name: string = "SysError";
  /** The symbolic error, such as `ENOENT`. */
  readonly code: string;

  /**
   * @param op what was attempted, such as `bind` or `map update ENDPOINTS`
   * @param errno the positive error number
   * @param detail what the kernel or libbpf said beside the number
   */
  constructor(readonly op: string, readonly errno: number, readonly detail?: string) {
    const code = errnoName(errno);
    super(`${op}: ${code}${detail ? `: ${detail}` : ""}`);
    this.code = code;
  }
}

/** A handle that was used after close() or take(). */
export class UseAfterCloseError extends Error {
  override readonly name = "UseAfterCloseError";

  /** @param what the kind of handle, such as `BpfMap ENDPOINTS` */
  constructor(readonly what: string) {
    super(`${what} was used after it was closed`);
  }
}

/**
 * Passes a result of the shim through.
 * @param op names the call in the error
 * @param result at least 0, or -errno
 * @returns result
 * @throws SysError when result is negative
 */
export function check(op: string, result: number): number {
  if (result < 0) throw new SysError(op, -result);
  return result;
}

/** Is this the system error of that name? */
export function isErrno(error: unknown, code: string): error is SysError {
  return error instanceof SysError && error.code === code;
}
