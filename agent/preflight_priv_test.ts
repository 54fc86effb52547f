import assert from "node:assert/strict";
import { preflight, PreflightError } from "./preflight.ts";

const ALL = (1n << 41n) - 1n;
const NET_ADMIN = 1n << 12n;
const SYS_ADMIN = 1n << 21n;

function problems(dir: string, capabilities: bigint): readonly string[] {
  const sockets = { cni_socket: `${dir}/run/cni.sock` };
  try {
    preflight({ stateDir: `${dir}/state`, sockets }, capabilities);
    return [];
  } catch (error) {
    assert.ok(error instanceof PreflightError, String(error));
    assert.equal(error.message.includes("\n"), false);
    return error.problems;
  }
}

const CASES: [name: string, capabilities: bigint, missing: string[]][] = [
  ["all", ALL, []],
  ["no CAP_NET_ADMIN", ALL & ~NET_ADMIN, ["CAP_NET_ADMIN"]],
  ["none", 0n, ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]],
  ["just what is needed", NET_ADMIN | SYS_ADMIN, []],
];
for (const [name, capabilities, missing] of CASES) {
  Deno.test(`preflight with capabilities: ${name}`, () => {
    const dir = Deno.makeTempDirSync({ prefix: "nvt-preflight-" });
    try {
      const found = problems(dir, capabilities);
      assert.deepEqual(found.map((text) => /CAP_\w+/.exec(text)?.[0]), missing);
      assert.deepEqual([...Deno.readDirSync(`${dir}/run`)], []);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

Deno.test("preflight names the paths that cannot be written", () => {
  const file = Deno.makeTempFileSync({ prefix: "nvt-preflight-" });
  try {
    const [state, socket, ...more] = problems(file, ALL);
    assert.match(state ?? "", new RegExp(`^state_dir ${file}/state: cannot write in .*state: `));
    assert.match(socket ?? "", new RegExp(`^cni_socket ${file}/run/cni.sock: cannot write in `));
    assert.deepEqual(more, []);
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("an agent that lacks rights says in one line what is missing", async () => {
  const main = new URL("./main.ts", import.meta.url).pathname;
  const dir = Deno.makeTempDirSync({ prefix: "nvt-preflight-" });
  try {
    const config = `${dir}/config.json`;
    const [listen_socket, cni_socket] = [`${dir}/run/novanet.sock`, `${dir}/run/cni.sock`];
    const values = { state_dir: "/proc/none", listen_socket, cni_socket };
    Deno.writeTextFileSync(config, JSON.stringify(values));
    Deno.chmodSync(dir, 0o755);
    const { code, stderr } = await new Deno.Command("setpriv", {
      args: ["--bounding-set=-net_admin", "--inh-caps=-net_admin", Deno.execPath(), "run"]
        .concat("-A", "--no-prompt", main, "--config", config),
    }).output();
    const text = new TextDecoder().decode(stderr);
    assert.equal(code, 3, text);
    assert.match(
      text,
      /^novanet-agent: Cannot start: capability CAP_NET_ADMIN is missing[^\n]*\n$/,
    );
    assert.match(text, /state_dir \/proc\/none: cannot write/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
