import assert from "node:assert/strict";
import { join } from "node:path";
import { tryCommand } from "../shared/testing/command.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { NetnsLab } from "../shared/testing/lab.ts";

const DATAPLANE = join(import.meta.dirname ?? ".", "..", "dist", "novanet-dataplane");

function run(...argv: string[]): ReturnType<typeof tryCommand> {
  return tryCommand([DATAPLANE, ...argv]);
}

Deno.test("--version and --help answer on stdout and do nothing else", async () => {
  const version = await run("--version");
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^novanet-dataplane \d+\.\d+\.\d+ \(commit \S+, deno 2\.7\.14\)\n$/);
  const help = await run("--help");
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--pin-dir PATH/);
});

Deno.test("a bad flag is one line on stderr, exit code 2", async () => {
  for (const args of [["--nope"], ["--log-level=loud"], ["--conntrack-max", "none"]]) {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^novanet-dataplane: --\S+.*\n$/);
  }
});

Deno.test("a pin directory that is on no bpf file system: one line, exit code 3", async () => {
  const folder = await Deno.makeTempDir({ prefix: "nvt-" });
  try {
    const { code, stderr } = await run(`--pin-dir=${folder}/pins`, `--socket=${folder}/d.sock`);
    assert.equal(code, 3);
    assert.match(stderr, /pins is not on a bpf file system: mount one/);
    assert.equal(stderr.trim().split("\n").length, 1);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the same when the directory is there already: nothing is made, nor loaded", async () => {
  const folder = await Deno.makeTempDir({ prefix: "nvt-" });
  try {
    const { code, stderr } = await run(`--pin-dir=${folder}`, `--socket=${folder}/d.sock`);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /is not on a bpf file system: mount one with "mkdir -p \S+ && mount /);
    assert.equal(stderr.trim().split("\n").length, 1);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("missing capabilities: one line each, exit code 3, nothing mounted or made", async () => {
  const folder = await Deno.makeTempDir({ prefix: "nvt-" });
  try {
    const { code, stderr } = await tryCommand([
      ...["setpriv", "--bounding-set=-net_admin,-sys_admin,-bpf,-perfmon"],
      ...[DATAPLANE, `--pin-dir=${folder}/pins`, `--socket=${folder}/d.sock`],
    ]);
    assert.equal(code, 3, stderr);
    const lines = stderr.trim().split("\n");
    assert.equal(lines.length, 3, stderr);
    for (const [index, name] of ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"].entries()) {
      assert.ok(lines[index]?.includes(`capability ${name} is missing`));
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("without a bpf file system it mounts one where it belongs, and --cleanup takes it away", async () => {
  await using lab = new NetnsLab();
  const folder = await Deno.makeTempDir({ prefix: "nvt-" });
  lab.defer(() => Deno.remove(folder, { recursive: true }));
  const flags = [`--pin-dir=/sys/fs/bpf/nvt-main`, `--socket=${folder}/d.sock`, "--policy-max=256"];
  // In a mount namespace of its own, so that the machine's /sys/fs/bpf stays as it is.
  const script = `
    while umount /sys/fs/bpf 2>/dev/null; do :; done
    "$0" "$@" & daemon=$!
    while ! [ -S ${folder}/d.sock ]; do kill -0 $daemon || exit 9; sleep 0.05; done
    grep -c ' /sys/fs/bpf .* bpf novanet-bpf ' /proc/self/mountinfo
    kill -TERM $daemon; wait $daemon; echo "daemon $?"
    "$0" "$@" --cleanup
    grep -c ' /sys/fs/bpf ' /proc/self/mountinfo
    true`;
  const command = lab.start([
    ...["unshare", "--mount", "--propagation=private", "sh", "-c", script],
    ...[DATAPLANE, ...flags, "--conntrack-max=1024"],
  ]);
  await eventually(() => command.exited, { timeoutMs: 20_000, what: "the script's end" });
  const { code, stdout, stderr } = await command.wait();
  assert.equal(code, 0, stderr);
  const lines = stdout.trim().split("\n");
  assert.deepEqual(lines.slice(0, 2), ["1", "daemon 0"], stderr);
  assert.deepEqual(lines.slice(-2), ["unmounted /sys/fs/bpf", "0"]);
});
