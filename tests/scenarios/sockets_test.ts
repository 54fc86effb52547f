import assert from "node:assert/strict";
import { dirname } from "node:path";
import { type CommandResult, tryCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { scenario } from "./scenario.ts";

const SOCKETS = ["dataplane.sock", "cni.sock", "novanet.sock", "ebpf-services.sock"];
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
/** How a client of HTTP/2 begins (RFC 9113, section 3.4): the preface, and settings without any. */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/** Begins as a gRPC client does, and ends as soon as the server has said something or closed. */
function speak(user: readonly string[], socket: string): Promise<CommandResult> {
  const argv = ["socat", "-t", "2", "-", `UNIX-CONNECT:${socket}`];
  return tryCommand([...user, ...argv], { stdin: PREFACE });
}

/** Unix permissions, without the file's type. */
const mode = (path: string) => ((Deno.statSync(path).mode ?? 0) & 0o7777).toString(8);

scenario("sockets are root's alone", {}, async ({ node, step }) => {
  const pid = node.daemons.map((daemon) => daemon.pid);
  for (const name of SOCKETS) {
    const socket = node.socket(name);
    await step(`${name}: mode 600 in a directory of mode 750`, () => {
      assert.deepEqual([mode(socket), mode(dirname(socket))], ["600", "750"]);
      assert.deepEqual([Deno.statSync(socket).uid, Deno.statSync(dirname(socket)).uid], [0, 0]);
    });

    await step(`${name}: another user does not get near it`, async () => {
      await Deno.chmod(node.dir, 0o755);
      const { code, stdout, stderr } = await speak(NOBODY, socket);
      assert.notEqual(code, 0);
      assert.equal(stdout, "");
      assert.match(stderr, /Permission denied/);
    });

    await step(`${name}: where the modes were loosened, the server refuses`, async () => {
      await Deno.chmod(dirname(socket), 0o755);
      await Deno.chmod(socket, 0o666);
      try {
        const root = await speak([], socket);
        assert(root.stdout.length > 0, `root is answered: ${root.stderr}`);
        for (let time = 0; time < 3; time++) {
          const nobody = await speak(NOBODY, socket);
          assert.equal(nobody.stdout, "", "nobody is not");
        }
        assert((await speak([], socket)).stdout.length > 0, "root still is");
      } finally {
        await Deno.chmod(socket, 0o600);
        await Deno.chmod(dirname(socket), 0o750);
      }
    });
  }

  await step("a daemon that starts again makes them as they were, over stale files", async () => {
    await node.agent.kill();
    await node.dataplane.kill();
    assert(SOCKETS.every((name) => Deno.lstatSync(node.socket(name)).isSocket));
    await node.start();
    assert(node.daemons.every((daemon) => !pid.includes(daemon.pid)));
    for (const name of SOCKETS) {
      await eventually(() => mode(node.socket(name)) === "600");
      assert((await speak([], node.socket(name))).stdout.length > 0);
    }
  });

  await step("a daemon that is asked to end takes its sockets with it", async () => {
    for (const daemon of node.daemons.toReversed()) {
      daemon.signal("SIGTERM");
      const { code, stderr } = await daemon.wait();
      assert.equal(code, 0, stderr);
    }
    const left = Array.from(Deno.readDirSync(dirname(node.socket("cni.sock"))), ({ name }) => name);
    assert.deepEqual(left.filter((name) => name.endsWith(".sock")), []);
  });
});
