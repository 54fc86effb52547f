import assert from "node:assert/strict";
import { AgentExt } from "../gen/novanet/ext/v1/ext_pb.ts";
import { dropForeignPeers } from "../ffi/peercred.ts";
import { RpcServer } from "./server.ts";

const NOBODY = 65534;

// Loads the shim, which stays loaded, before a test looks for leaks.
dropForeignPeers("/nowhere", 0);

/** Calls ListPods `calls` times as another user; the output says how each ended. */
function callAs(uid: number, socketPath: string, calls: number): Promise<Deno.CommandOutput> {
  const script = `
    import { createRpcClient } from ${JSON.stringify(import.meta.resolve("./client.ts"))};
    import { AgentExt } from ${
    JSON.stringify(import.meta.resolve("../gen/novanet/ext/v1/ext_pb.ts"))
  };
    const process = await import("node:process");
    process.default.setgid(${uid});
    process.default.setuid(${uid});
    for (let at = 0; at < ${calls}; at++) {
      const client = createRpcClient(AgentExt, { socketPath: ${JSON.stringify(socketPath)} });
      await client.listPods({}).then(() => console.log("served"), (e) => console.log(e.code));
      client.close();
    }`;
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", script],
    cwd: new URL("../..", import.meta.url).pathname,
  }).output();
}

Deno.test("a peer that is not root is not served, even where the file's mode lets it in", async () => {
  const folder = Deno.makeTempDirSync();
  const socketPath = `${folder}/s.sock`;
  let calls = 0;
  const server = new RpcServer().add(AgentExt, {
    listPods() {
      calls++;
      return {};
    },
  });
  await server.listenUnix(socketPath);
  Deno.chmodSync(folder, 0o755);
  Deno.chmodSync(socketPath, 0o666);
  try {
    const stranger = await callAs(NOBODY, socketPath, 20);
    const text = new TextDecoder().decode(stranger.stdout);
    assert.equal(text, "14\n".repeat(20), new TextDecoder().decode(stranger.stderr));
    assert.equal(calls, 0);
    const root = await callAs(0, socketPath, 3);
    assert.equal(new TextDecoder().decode(root.stdout), "served\n".repeat(3));
    assert.equal(calls, 3);
  } finally {
    await server.close(100);
    Deno.removeSync(folder, { recursive: true });
  }
});
