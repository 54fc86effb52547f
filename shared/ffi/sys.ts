/** System calls: plain descriptors in, owned ones (Fd) out, SysError when the kernel refuses. */
import { check, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { shim } from "./library.ts";
import { cString, fromCString, lend } from "./memory.ts";

/** open(2): for reading. */
export const O_RDONLY = 0;

/** socket(2) domains, types and option levels that NovaNet uses. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** rtnetlink and its kin. */
export const AF_NETLINK = 16;
/** Whole frames. */
export const AF_PACKET = 17;
/** A datagram socket. */
export const SOCK_DGRAM = 2;
/** A raw socket. */
export const SOCK_RAW = 3;
/** or-ed to a type: calls return EAGAIN instead of waiting. */
export const SOCK_NONBLOCK = 0o4000;
/** Options of the socket itself. */
export const SOL_SOCKET = 1;
/** Options of AF_NETLINK. */
export const SOL_NETLINK = 270;
/** recv(2): this call does not wait. */
export const MSG_DONTWAIT = 0x40;
/** recv(2): answer with the real length of a datagram. */
export const MSG_TRUNC = 0x20;
/** setns(2), unshare(2): the network namespace. */
export const CLONE_NEWNET = 0x40000000;
/** clock_gettime(2). */
export const CLOCK_REALTIME = 0;
/** clock_gettime(2): what bpf_ktime_get_ns() reads. */
export const CLOCK_MONOTONIC = 1;

const POLLIN = 1;
const IF_NAMESIZE = 16;

/** Opens a file, close-on-exec. @throws SysError */
export function open(path: string, flags: number, mode = 0): Fd {
  return new Fd(check(`open ${path}`, shim().nv_open(cString(path), flags, mode)), path);
}

/** A second descriptor of the same thing. @throws SysError */
export function dup(fd: number, what?: string): Fd {
  return new Fd(check("dup", shim().nv_dup(fd)), what);
}

/** Reads at most into.length bytes; returns how many, 0 at the end. @throws SysError */
export function read(fd: number, into: Uint8Array): number {
  return check("read", shim().nv_read(fd, lend(into), into.byteLength));
}

/** Writes data in one call; returns how many bytes went. @throws SysError */
export function write(fd: number, data: Uint8Array): number {
  return check("write", shim().nv_write(fd, lend(data), data.byteLength));
}

/** A socket in the caller's network namespace, close-on-exec. @throws SysError */
export function socket(domain: number, type: number, protocol: number): Fd {
  return new Fd(check("socket", shim().nv_socket(domain, type, protocol)), "socket");
}

/** bind(2) to a struct sockaddr. @throws SysError */
export function bind(fd: number, address: Uint8Array): void {
  check("bind", shim().nv_bind(fd, lend(address), address.byteLength));
}

/** connect(2) to a struct sockaddr. @throws SysError */
export function connect(fd: number, address: Uint8Array): void {
  check("connect", shim().nv_connect(fd, lend(address), address.byteLength));
}

/** Sends one message, to a struct sockaddr or to the connected peer. @throws SysError */
export function sendto(fd: number, data: Uint8Array, flags = 0, address?: Uint8Array): number {
  const size = address?.byteLength ?? 0;
  const target = address ? lend(address) : null;
  return check("send", shim().nv_sendto(fd, lend(data), data.byteLength, flags, target, size));
}

/**
 * Sends one message to the connected peer, or the kernel, on a thread of its own: for what takes long.
 * The descriptor must stay open, and data unchanged, until the promise is settled.
 * @throws SysError
 */
export async function sendAsync(fd: number, data: Uint8Array): Promise<number> {
  return check("send", await shim().sendto_async(fd, lend(data), data.byteLength, 0, null, 0));
}

/** Receives into a buffer; returns how many bytes there were. @throws SysError (EAGAIN too) */
export function recv(fd: number, into: Uint8Array, flags = 0): number {
  return check("recv", shim().nv_recv(fd, lend(into), into.byteLength, flags));
}

/**
 * Receives a message and who sent it.
 * @returns size of the message, and the sender's struct sockaddr
 * @throws SysError (EAGAIN too)
 */
export function recvfrom(
  fd: number,
  into: Uint8Array,
  flags = 0,
): { size: number; address: Uint8Array<ArrayBuffer> } {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.byteLength]);
  const size = shim().nv_recvfrom(fd, lend(into), into.byteLength, flags, address, length);
  check("recvfrom", size);
  return { size, address: address.subarray(0, length[0]) };
}

/** setsockopt(2); a number is passed as an int. @throws SysError */
export function setsockopt(
  fd: number,
  level: number,
  option: number,
  value: Uint8Array | number,
): void {
  const bytes = typeof value === "number"
    ? new Uint8Array(new Int32Array([value]).buffer)
    : lend(value);
  check("setsockopt", shim().nv_setsockopt(fd, level, option, bytes, bytes.byteLength));
}

/**
 * getsockopt(2).
 * @param room how many bytes the option has at most, or what the kernel reads before it writes so many
 * @returns the option's bytes
 * @throws SysError
 */
export function getsockopt(
  fd: number,
  level: number,
  option: number,
  room: number | Uint8Array = 4,
): Uint8Array<ArrayBuffer> {
  const value = typeof room === "number" ? new Uint8Array(room) : Uint8Array.from(room);
  const size = new Uint32Array([value.byteLength]);
  check("getsockopt", shim().nv_getsockopt(fd, level, option, value, size));
  return value.subarray(0, size[0]);
}

/** The struct sockaddr that a socket is bound to. @throws SysError */
export function getsockname(fd: number): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(128);
  const size = new Uint32Array([address.byteLength]);
  check("getsockname", shim().nv_getsockname(fd, address, size));
  return address.subarray(0, size[0]);
}

/**
 * Moves this thread into a namespace. Only for a function that moves back before it returns;
 * netnsSocket(), netnsReadFile() and netnsWriteFile() need no such care.
 * @param type CLONE_NEWNET or another CLONE_NEW* that the descriptor must be of
 * @throws SysError
 */
export function setns(fd: number, type: number): void {
  check("setns", shim().nv_setns(fd, type));
}

/** Gives this thread new namespaces. @throws SysError */
export function unshare(flags: number): void {
  check("unshare", shim().nv_unshare(flags));
}

/** mount(2). @throws SysError */
export function mount(
  source: string,
  target: string,
  type: string,
  flags = 0n,
  data?: string,
): void {
  const options = data === undefined ? null : cString(data);
  const result = shim().nv_mount(cString(source), cString(target), cString(type), flags, options);
  check(`mount ${type} on ${target}`, result);
}

/** umount2(2). @throws SysError */
export function umount(target: string, flags = 0): void {
  check(`umount ${target}`, shim().nv_umount(cString(target), flags));
}

/** The magic number of the file system that holds path (BPF_FS_MAGIC is 0xcafe4a11). @throws SysError */
export function statfsMagic(path: string): number {
  return check(`statfs ${path}`, Number(shim().nv_statfs_magic(cString(path))));
}

/** Nanoseconds of a clock, CLOCK_MONOTONIC by default. @throws SysError */
export function clockGettime(clock: number = CLOCK_MONOTONIC): bigint {
  const now = shim().nv_clock_gettime(clock);
  if (now < 0n) throw new SysError("clock_gettime", Number(-now));
  return now;
}

/** The index of an interface of the caller's namespace. @throws SysError ENODEV when there is none */
export function ifNametoindex(name: string): number {
  return check(`interface ${name}`, shim().nv_if_nametoindex(cString(name)));
}

/** The name of an interface of the caller's namespace. @throws SysError ENXIO when there is none */
export function ifIndextoname(ifindex: number): string {
  const name = new Uint8Array(IF_NAMESIZE);
  check(`interface ${ifindex}`, shim().nv_if_indextoname(ifindex, name));
  return fromCString(name);
}

/** This process's effective capabilities: bit N is capability N of linux/capability.h. @throws SysError */
export function effectiveCapabilities(): bigint {
  const set = new BigUint64Array(1);
  check("capget", shim().nv_capget(set));
  return set[0] ?? 0n;
}

/**
 * Waits, on a thread of its own, until every CPU has left whatever eBPF program it was in: what was
 * replaced in a map before the call is used by nobody after it.
 * @throws SysError EINVAL on a kernel with nohz_full CPUs
 */
export async function membarrierGlobal(): Promise<void> {
  check("membarrier", await shim().membarrier_async());
}

/** Ends a wait on another thread. Own one for each waiter that must be able to stop. */
export class Waker implements Disposable {
  readonly #event: Fd;

  /** @throws SysError when there are no descriptors left */
  constructor() {
    this.#event = new Fd(check("eventfd", shim().nv_eventfd()), "waker");
  }

  /** The descriptor that becomes readable. @throws UseAfterCloseError */
  get fd(): number {
    return this.#event.fd;
  }

  /** Ends the waits that go on now, and every later one at once. */
  wake(): void {
    write(this.#event.fd, new Uint8Array(new BigUint64Array([1n]).buffer));
  }

  /** Closes it: only when no wait goes on. */
  close(): void {
    this.#event.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Is there something to read now, or within timeoutMs (the whole thread waits)? @throws SysError */
export function poll(fd: number, timeoutMs = 0): boolean {
  return check("poll", shim().nv_poll(fd, POLLIN, timeoutMs, -1)) !== 0;
}

/**
 * Waits on a thread of its own until there is something to read (or an error to be read).
 * The descriptor must stay open until the promise is settled.
 * @param timeoutMs -1 waits without end
 * @param waker ends the wait early
 * @returns false after the time-out or the wake-up
 * @throws SysError
 */
export async function waitReadable(
  fd: number,
  timeoutMs: number,
  waker?: Waker,
): Promise<boolean> {
  return check("poll", await shim().poll_async(fd, POLLIN, timeoutMs, waker?.fd ?? -1)) !== 0;
}

/**
 * A socket that belongs to another network namespace; the thread is there only inside the call.
 * @param netnsFd an open /run/netns/NAME or /proc/PID/ns/net
 * @throws SysError
 */
export function netnsSocket(netnsFd: number, domain: number, type: number, protocol: number): Fd {
  const fd = shim().nv_netns_socket(netnsFd, domain, type, protocol);
  return new Fd(check("socket in a network namespace", fd), "socket");
}

/**
 * Writes to a file whose meaning depends on the network namespace, such as one of /proc/sys/net.
 * @throws SysError
 */
export function netnsWriteFile(netnsFd: number, path: string, data: string): void {
  const bytes = new TextEncoder().encode(data);
  const size = shim().nv_netns_write_file(netnsFd, cString(path), bytes, bytes.byteLength);
  check(`write ${path} in a network namespace`, size);
}

/** Reads such a file, at most 64 KiB. @throws SysError */
export function netnsReadFile(netnsFd: number, path: string): string {
  const bytes = new Uint8Array(65536);
  const size = shim().nv_netns_read_file(netnsFd, cString(path), bytes, bytes.byteLength);
  check(`read ${path} in a network namespace`, size);
  return new TextDecoder().decode(bytes.subarray(0, size));
}
