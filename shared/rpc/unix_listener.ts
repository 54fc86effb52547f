/** Listening on a unix socket that only root may use. */
import { dirname } from "node:path";

const DIRECTORY_MODE = 0o750;
const SOCKET_MODE = 0o600;
/** How long to wait when a connection can't be accepted, as when descriptors run out. */
const ACCEPT_RETRY_MS = 100;

/** A socket path that can't be listened on. */
export class ListenError extends Error {
  override readonly name = "ListenError";

  constructor(readonly socketPath: string, why: string, options?: ErrorOptions) {
    super(`Cannot listen on ${JSON.stringify(socketPath)}: ${why}`, options);
  }
}

/** What a {@linkcode UnixListener} does with connections. */
export interface ListenOptions {
  /**
   * Shuts down accepted connections of the socket that come from another user than root and returns how many;
   * runs for every connection before anything is read from it.
   */
  readonly checkPeers: (socketPath: string) => number;
  /** Connections above this number are closed at once. */
  readonly maxConnections: number;
  /** Takes a connection whose peer is root; resolves when it is gone. */
  readonly onConnection: (connection: Deno.UnixConn) => Promise<unknown>;
  /** A connection was refused or could not be accepted. */
  readonly onRefused: (why: string) => void;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Connects and hangs up. @returns false when nobody listens */
async function isServed(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.ConnectionRefused || cause instanceof Deno.errors.NotFound) {
      return false;
    }
    throw new ListenError(path, "a server there cannot be asked", { cause });
  }
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Makes the way free: the folder exists, and the socket of a server that is gone does not. */
async function prepare(socketPath: string): Promise<void> {
  Deno.mkdirSync(dirname(socketPath), { recursive: true, mode: DIRECTORY_MODE });
  const found = lstat(socketPath);
  if (found === undefined) return;
  if (!found.isSocket) throw new ListenError(socketPath, "something that is no socket is there");
  if (await isServed(socketPath)) throw new ListenError(socketPath, "another server serves it");
  Deno.removeSync(socketPath);
}

/**
 * Binds and listens. Whoever connects before the mode is narrow is refused like every stranger when he is accepted;
 * a narrow umask instead would be everybody's in this process.
 */
function bind(path: string): Deno.UnixListener {
  try {
    const listener = Deno.listen({ transport: "unix", path });
    Deno.chmodSync(path, SOCKET_MODE);
    return listener;
  } catch (cause) {
    throw new ListenError(path, message(cause), { cause });
  }
}

/** A listening socket. */
export class UnixListener {
  readonly #path: string;
  readonly #listener: Deno.UnixListener;
  readonly #options: ListenOptions;
  readonly #accepting: Promise<void>;
  #open = 0;
  #closed = false;

  private constructor(path: string, listener: Deno.UnixListener, options: ListenOptions) {
    this.#path = path;
    this.#listener = listener;
    this.#options = options;
    this.#accepting = this.#accept();
  }

  /**
   * Listens on a socket of mode 0600; missing folders are made with mode 0750, and a socket file that nobody
   * serves is replaced.
   * @throws {ListenError} when another server serves the path, or it can't be bound
   */
  static async listen(path: string, options: ListenOptions): Promise<UnixListener> {
    await prepare(path);
    return new UnixListener(path, bind(path), options);
  }

  /** Takes no more connections; connections go on. Deno removes the socket file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    await this.#accepting;
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#take(await this.#listener.accept());
      } catch (error) {
        if (this.#closed) return;
        this.#options.onRefused(message(error));
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  /**
   * Deno tells nobody the descriptor of a connection, so checkPeers looks at all of this process. What it finds
   * may be one that was accepted before and is about to close; this one is refused with it: rather that than a
   * byte of a stranger.
   */
  #take(connection: Deno.UnixConn): void {
    const why = this.#refusal();
    if (why !== undefined) {
      connection.close();
      this.#options.onRefused(why);
      return;
    }
    this.#open++;
    void this.#options.onConnection(connection).finally(() => this.#open--);
  }

  #refusal(): string | undefined {
    const { checkPeers, maxConnections } = this.#options;
    if (checkPeers(this.#path) > 0) return "the peer is not root";
    if (this.#open >= maxConnections) return `${maxConnections} connections are open already`;
    return undefined;
  }
}
