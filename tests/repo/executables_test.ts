import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "../../tools/build/command.ts";
import { EXECUTABLES } from "../../tools/build/executables.ts";
import { targetOf } from "../../tools/build/target.ts";
import { VERSION } from "../../shared/version.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { GlibcRoot } from "./glibc_root.ts";

// The base executable has 98 MB and the bundles have less than 2; node_modules would add 200.
const SIZE_LIMIT_BYTES = 105_000_000;

Deno.test("each executable", async (t) => {
  for (const { name } of EXECUTABLES) {
    await t.step(
      `${name}: prints version, commit and Deno version where glibc is all there is`,
      async () => {
        await using root = new GlibcRoot(name, ["--version"]);
        const { code, stdout, stderr } = await root.result();
        assert.equal(code, 0, stderr);
        const line = new RegExp(
          `^${name} ${
            VERSION.replaceAll(".", "\\.")
          } \\(commit ([0-9a-f]{7,}(-dirty)?|unknown), deno 2\\.7\\.14\\)\n$`,
        );
        assert.match(stdout, line);
      },
    );
    await t.step(`${name}: carries no node_modules`, () => {
      const { size } = Deno.statSync(join(ROOT, targetOf().dist, name));
      assert(size < SIZE_LIMIT_BYTES, `${size} bytes`);
    });
  }
});

const DAEMONS = [
  {
    name: "novanet-dataplane",
    args: [],
    sockets: ["/run/novanet/dataplane.sock"],
  },
  {
    name: "novanet-agent",
    args: ["--node-ip", "192.0.2.1", "--pod-cidr", "10.244.0.0/24"],
    sockets: ["/run/novanet/cni.sock", "/run/novanet/novanet.sock"],
  },
] as const;

Deno.test("each daemon serves from a read-only root where glibc is all there is", async (t) => {
  for (const { name, args, sockets } of DAEMONS) {
    await t.step(name, async () => {
      await using root = new GlibcRoot(name, args);
      await eventually(async () => {
        if (root.ended) return true;
        for (const socket of sockets) assert((await Deno.stat(root.path(socket))).isSocket);
        return true;
      }, { timeoutMs: 20_000 });
      const alive = !root.ended;
      root.stop();
      const { code, stderr } = await root.result();
      assert(alive, stderr);
      assert.equal(code, 0, stderr);
    });
  }
});
