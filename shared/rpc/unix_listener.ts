/** Listening on a unix socket that only root may use. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";

const DIRECTORY_MODE = 0o750;
/** What the umask must take away for a socket to come out as 0600. */
const PRIVATE_UMASK = 0o177;

/** A socket path that can't be listened on. */
export class ListenError extends Error {
  override readonly name = "ListenError";

  constructor(readonly socketPath: string, why: string, options?: ErrorOptions) {
    super(`Cannot listen on ${JSON.stringify(socketPath)}: ${why}`, options);
  }
}

/** What {@linkcode listenUnix} does with connections. */
export interface ListenOptions {
  /**
   * Shuts down accepted connections of the socket that come from another user than root and returns how many;
   * runs for every connection before anything is read from it.
   */
  readonly checkPeers: (socketPath: string) => number;
  /** Connections above this number are closed at once. */
  readonly maxConnections: number;
  /** Takes a connection whose peer is root. */
  readonly onConnection: (socket: Socket) => void;
  /** A connection was refused. */
  readonly onRefused: (why: string) => void;
}

function errorCode(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

/** Connects and hangs up. @returns false when nobody listens */
async function isServed(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    if (errorCode(error) === "ECONNREFUSED" || errorCode(error) === "ENOENT") return false;
    throw new ListenError(socketPath, "a server there cannot be asked", { cause: error });
  } finally {
    socket.destroy();
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
  try {
    Deno.removeSync(socketPath);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Binds and listens; the umask is narrow only while the socket is made, which listen() does before it returns. */
async function bind(server: Server, socketPath: string): Promise<void> {
  const listening = once(server, "listening");
  const umask = Deno.umask(PRIVATE_UMASK);
  try {
    server.listen(socketPath);
  } finally {
    Deno.umask(umask);
  }
  try {
    await listening;
  } catch (cause) {
    throw new ListenError(socketPath, cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}

/**
 * Listens on a socket of mode 0600; missing folders are made with mode 0750, and a socket file that nobody
 * serves is replaced.
 *
 * Deno tells nobody the descriptor of a connection, so checkPeers looks at all of this process. It may find one
 * that was accepted after this one; that one is refused in its own turn, since its peer does not change, and this
 * one is refused with it: rather that than a byte of a stranger.
 * @returns the server; closing it removes the socket file
 * @throws {ListenError} when another server serves the path, or it can't be bound
 */
export async function listenUnix(socketPath: string, options: ListenOptions): Promise<Server> {
  await prepare(socketPath);
  let open = 0;
  const server = createServer((socket) => {
    const strangers = options.checkPeers(socketPath);
    if (strangers > 0 || open >= options.maxConnections) {
      socket.destroy();
      options.onRefused(
        strangers > 0
          ? "the peer is not root"
          : `${options.maxConnections} connections are open already`,
      );
      return;
    }
    open++;
    socket.once("close", () => open--);
    // A peer that hangs up is no error of ours; whoever reads the socket notices its end.
    socket.on("error", () => {});
    options.onConnection(socket);
  });
  await bind(server, socketPath);
  return server;
}
