/** A server and client for tests of this folder; imported by tests only. */
import { join } from "node:path";
import { AgentExt } from "../gen/novanet/ext/v1/ext_pb.ts";
import { createRpcClient, type RpcClient, type RpcClientOptions } from "./client.ts";
import { RpcServer, type RpcServerOptions, type ServiceImpl } from "./server.ts";

/** The service that the tests implement: it has unary calls, streams, bytes and lists. */
export type TestService = typeof AgentExt;

/** Options that need no root: every peer is welcome. */
export const ANY_PEER: RpcServerOptions = { checkPeers: () => 0 };

/** A server, a folder of its own, and clients; disposing ends all. */
export class RpcLab implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "nvt-rpc-" });
  readonly socketPath = join(this.folder, "run", "test.sock");
  readonly server: RpcServer;
  readonly #clients: RpcClient<TestService>[] = [];

  private constructor(server: RpcServer) {
    this.server = server;
  }

  /** Starts a server of AgentExt with these handlers. */
  static async start(
    impl: ServiceImpl<TestService>,
    options: RpcServerOptions = {},
  ): Promise<RpcLab> {
    const server = new RpcServer({ ...ANY_PEER, ...options }).add(AgentExt, impl);
    const lab = new RpcLab(server);
    await server.listenUnix(lab.socketPath);
    return lab;
  }

  /** A client of the server. */
  client(options: Partial<RpcClientOptions> = {}): RpcClient<TestService> {
    const client = createRpcClient(AgentExt, { socketPath: this.socketPath, ...options });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.server.close(1000);
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Leaves the socket file of a listener that died. */
export async function leaveSocket(path: string): Promise<void> {
  const script = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.exit(0);`;
  const { success } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
  if (!success) throw new Error(`Cannot leave a socket at ${path}`);
}
