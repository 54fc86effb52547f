import assert from "node:assert/strict";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcServer } from "../../shared/rpc/server.ts";
import { main } from "../run.ts";
import { ctl, KEEPS_SHIM, type TestAgent, TestIo } from "../testing.ts";

const FOLDER = "novanet-sysdump-20261121T080910Z";

function dumping(...files: { name: string; text: string }[]): TestAgent {
  return {
    ext: {
      async *getSysdump() {
        for (const { name, text } of files) yield { name, data: new TextEncoder().encode(text) };
      },
    },
  };
}

/** Unpacks with the system's tar. */
async function unpack(archive: Uint8Array): Promise<Record<string, string>> {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeFileSync(`${folder}/x.tar.gz`, archive);
    const list = new Deno.Command("tar", { args: ["-xvzf", "x.tar.gz"], cwd: folder });
    const { stdout, success } = await list.output();
    assert.ok(success);
    const names = new TextDecoder().decode(stdout).trimEnd().split("\n");
    return Object.fromEntries(
      names.map((name) => [name, Deno.readTextFileSync(`${folder}/${name}`)]),
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("a sysdump holds what both daemons say", KEEPS_SHIM, async () => {
  const folder = Deno.makeTempDirSync();
  const server = new RpcServer();
  server.add(DataplaneControl, { getDataplaneStatus: () => ({ endpointCount: 3 }) });
  const socket = `${folder}/run/dataplane.sock`;
  await server.listenUnix(socket);
  try {
    const agent = dumping(
      { name: "status.json", text: "{" },
      { name: "a/b/list.txt", text: "one" },
      { name: "status.json", text: "}" },
    );
    const { io, stdout, stderr } = await ctl(agent, ["sysdump", "--dataplane-socket", socket]);
    assert.equal(stdout, `${FOLDER}.tar.gz\n`);
    assert.equal(stderr, "");
    const files = await unpack(io.files.get(`${FOLDER}.tar.gz`)?.bytes() ?? new Uint8Array());
    assert.equal(files[`${FOLDER}/status.json`], "{}");
    assert.equal(files[`${FOLDER}/a/b/list.txt`], "one");
    assert.equal(
      JSON.parse(files[`${FOLDER}/novanet-dataplane.json`] ?? "")["endpoint_count"],
      3,
    );
    assert.match(files[`${FOLDER}/novanetctl.txt`] ?? "", /^novanetctl \d/);
  } finally {
    await server.close(0);
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("with the dataplane down it holds the rest and says so", KEEPS_SHIM, async () => {
  const agent = dumping({ name: "status.json", text: "{}" });
  const args = ["sysdump", "-w", "-", "--dataplane-socket", "/nonexistent/dataplane.sock"];
  const { io, stderr, exitCode } = await ctl(agent, args);
  assert.equal(exitCode, 0);
  assert.match(stderr, /^Note: novanet-dataplane does not listen on \/nonexistent/);
  const files = await unpack(io.stdout.bytes());
  assert.match(files[`${FOLDER}/novanetctl.txt`] ?? "", /novanet-dataplane does not listen/);
});

Deno.test("with both down it fails and leaves no file", async () => {
  const io = new TestIo();
  const sockets = ["--agent-socket", "/nonexistent/a", "--dataplane-socket", "/nonexistent/b"];
  assert.equal(await main(["sysdump", ...sockets], io), 3);
  assert.equal(io.files.size, 0);
  assert.match(io.stderr.text(), /^Error: novanet-agent does not listen/);
});

for (const name of ["../../etc/cron.d/x", "/etc/passwd", "a//b", "", "a\nb"]) {
  Deno.test(`a file named ${JSON.stringify(name)} is refused`, KEEPS_SHIM, async () => {
    const args = ["sysdump", "--dataplane-socket", "/nonexistent/dataplane.sock"];
    const { exitCode, io } = await ctl(dumping({ name, text: "x" }), args);
    assert.equal(exitCode, 1);
    assert.equal(io.files.size, 0);
  });
}

Deno.test("a file that is there is replaced only when it was named", KEEPS_SHIM, async () => {
  const agent = dumping({ name: "status.json", text: "{}" });
  const io = new TestIo();
  io.createFile(`${FOLDER}.tar.gz`, true);
  assert.equal((await ctl(agent, ["sysdump"], io)).exitCode, 1);
  assert.equal((await ctl(agent, ["sysdump", "-w", `${FOLDER}.tar.gz`], io)).exitCode, 0);
});
