import { isErrno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  AF_INET,
  bind,
  connect,
  getsockname,
  getsockopt,
  MSG_DONTWAIT,
  netnsSocket,
  recv,
  sendto,
  SOCK_NONBLOCK,
} from "../../ffi/sys.ts";
import { openNetns } from "../../netns/netns.ts";
import { eventually } from "../eventually.ts";
import type { LabNetns } from "../lab.ts";
import { decodeAddress, encodeAddress, type SocketAddress } from "./address.ts";

const SOCK_STREAM = 1;
const MSG_NOSIGNAL = 0x4000;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_INFO_SIZE = 104;
/** Of tcpi_total_retrans in struct tcp_info (include/uapi/linux/tcp.h). */
const TOTAL_RETRANS_OFFSET = 100;

/** How to connect. */
export interface ConnectOptions {
  /** Default 2000. */
  readonly timeoutMs?: number | undefined;
  /** Default one that the kernel chooses. */
  readonly localIp?: string | undefined;
  /** Default one that the kernel chooses. */
  readonly localPort?: number | undefined;
}

/** A TCP connection that was made inside a namespace. */
export class TcpClient implements Disposable {
  readonly #socket: Fd;
  readonly #buffer = new Uint8Array(65536);

  private constructor(socket: Fd) {
    this.#socket = socket;
  }

  /**
   * Connects.
   * @throws {SysError} ECONNREFUSED and the like
   * @throws {EventuallyError} when no answer comes in time; the kernel stops trying then.
   */
  static async connect(
    netns: LabNetns,
    to: SocketAddress,
    { timeoutMs = 2000, localIp = "0.0.0.0", localPort = 0 }: ConnectOptions = {},
  ): Promise<TcpClient> {
    using stack = new DisposableStack();
    const socket = stack.use(openSocket(netns));
    bind(socket.fd, encodeAddress({ ip: localIp, port: localPort }));
    start(socket, to);
    const failure = await eventually(() => outcome(socket), {
      timeoutMs,
      intervalMs: 1,
      what: `a connection to ${to.ip}:${to.port}`,
    });
    if (failure !== "connected") throw failure;
    stack.move();
    return new TcpClient(socket);
  }

  /** Its own end. */
  get address(): SocketAddress {
    return decodeAddress(getsockname(this.#socket.fd));
  }

  /** Segments that the kernel had to send again so far. @throws {SysError} */
  get retransmissions(): number {
    const info = getsockopt(this.#socket.fd, IPPROTO_TCP, TCP_INFO, TCP_INFO_SIZE);
    return new DataView(info.buffer, info.byteOffset).getUint32(TOTAL_RETRANS_OFFSET, true);
  }

  /** Sends what fits into the socket's buffer. @returns bytes taken. @throws {SysError} ECONNRESET and the like */
  send(data: string | Uint8Array): number {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    try {
      return sendto(this.#socket.fd, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return 0;
      throw error;
    }
  }

  /**
   * @returns what has come in: at least one byte, or none at the end of the stream; undefined when nothing waits.
   * @throws {SysError} ECONNRESET and the like
   */
  take(): Uint8Array<ArrayBuffer> | undefined {
    try {
      return this.#buffer.slice(0, recv(this.#socket.fd, this.#buffer, MSG_DONTWAIT));
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
  }

  /** Sends text and waits until as many bytes have come back. @throws {EventuallyError} {SysError} */
  async exchange(text: string, timeoutMs = 2000): Promise<string> {
    this.send(text);
    let answer = "";
    return await eventually(() => {
      answer += new TextDecoder().decode(this.take() ?? new Uint8Array());
      return answer.length >= text.length ? answer : undefined;
    }, { timeoutMs, intervalMs: 1, what: `an answer to ${JSON.stringify(text)}` });
  }

  /** Closes the connection. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openSocket(netns: LabNetns): Fd {
  using fd = openNetns(netns.path);
  return netnsSocket(fd.fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

function start(socket: Fd, to: SocketAddress): void {
  try {
    connect(socket.fd, encodeAddress(to));
  } catch (error) {
    if (!isErrno(error, "EINPROGRESS")) throw error;
  }
}

/** A message of no bytes is taken once the connection stands, and tells why there is none. */
function outcome(socket: Fd): "connected" | Error | undefined {
  try {
    sendto(socket.fd, new Uint8Array(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return "connected";
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return undefined;
    return error instanceof Error ? error : new Error(String(error));
  }
}
