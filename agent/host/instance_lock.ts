import { isErrno } from "../../shared/ffi/errno.ts";
import type { Fd } from "../../shared/ffi/fd.ts";
import { readText } from "../../shared/ffi/files.ts";
import { AF_UNIX, bind, SOCK_DGRAM, socket } from "../../shared/ffi/sys.ts";

/** Abstract names belong to the network namespace, and go with the process that has them. */
const LOCK_NAME = "novanet-agent";
/** Beginning of the second name, which says whose the first is. */
const HOLDER_NAME = "novanet-agent holder: ";
/** What a struct sockaddr_un has room for, less the zero byte that makes a name abstract. */
const MAX_NAME_BYTES = 107;
const NAMES_FILE = "/proc/thread-self/net/unix";

/** Another agent already runs in this network namespace. */
export class InstanceError extends Error {
  override readonly name = "InstanceError";

  /** @param holder process and state directory of the other one, "" when they are not known */
  constructor(readonly holder: string) {
    const who = holder === "" ? "another process" : holder;
    super(`Cannot start: ${who} is the agent of this network namespace, which can have one`);
  }
}

/**
 * Makes this process the one agent of its network namespace, whatever its state directory is: two would
 * take each other's interfaces for their own. The kernel gives it back with the process, however that ends.
 */
export class InstanceLock implements Disposable {
  readonly #names: DisposableStack;

  private constructor(names: DisposableStack) {
    this.#names = names;
  }

  /**
   * @param stateDir shown to a second agent
   * @throws {InstanceError} when another process has it
   * @throws {SysError}
   */
  static take(stateDir: string): InstanceLock {
    using names = new DisposableStack();
    names.use(takeName(LOCK_NAME));
    names.use(takeName(`${HOLDER_NAME}process ${Deno.pid} (state_dir ${stateDir})`));
    return new InstanceLock(names.move());
  }

  [Symbol.dispose](): void {
    this.#names[Symbol.dispose]();
  }
}

function takeName(name: string): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(socket(AF_UNIX, SOCK_DGRAM, 0));
  try {
    bind(fd.fd, abstractAddress(name));
  } catch (error) {
    if (isErrno(error, "EADDRINUSE")) throw new InstanceError(findHolder());
    throw error;
  }
  stack.move();
  return fd;
}

/** struct sockaddr_un of an abstract name, cut to what it has room for. */
function abstractAddress(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name).subarray(0, MAX_NAME_BYTES);
  const address = new Uint8Array(3 + bytes.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(bytes, 3);
  return address;
}

function findHolder(): string {
  const mark = `@${HOLDER_NAME}`;
  const line = readText(NAMES_FILE).split("\n").find((text) => text.includes(mark));
  return line?.slice(line.indexOf(mark) + mark.length) ?? "";
}
