/** One HTTP/2 connection over a unix socket, opened when it is needed and again after it was lost. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import type { OutgoingHttpHeaders } from "node:http";

/** Bytes that a server may send ahead of the reader, per stream. */
const WINDOW_BYTES = 1 << 20;

/** A connection to a socket path. */
export class Connection implements Disposable {
  readonly #socketPath: string;
  #session: ClientHttp2Session | undefined;
  #socket: Socket | undefined;
  #lost: Error | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Why the last connection broke, if it did. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  /** Begins a request; connects first when there is no connection. */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    return this.#open().request(headers);
  }

  /** Takes nothing more from the socket, so that the server is held back. */
  pause(): void {
    this.#socket?.pause();
  }

  /** Reads from the socket again. */
  resume(): void {
    if (this.#socket?.isPaused()) this.#socket.resume();
  }

  /** Ends the connection and every request on it. */
  [Symbol.dispose](): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  #open(): ClientHttp2Session {
    const current = this.#session;
    if (current !== undefined && !current.closed && !current.destroyed) return current;
    this.#lost = undefined;
    const socket = this.#socket = connectSocket(this.#socketPath);
    const session = connect("http://localhost", {
      createConnection: () => socket,
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    });
    const forget = () => {
      if (this.#session === session) this.#session = undefined;
    };
    session.on("error", (error) => {
      this.#lost = error;
      forget();
    });
    session.on("close", forget);
    session.on("goaway", forget);
    this.#session = session;
    return session;
  }
}
