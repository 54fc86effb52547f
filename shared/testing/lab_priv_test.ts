import assert from "node:assert/strict";
import { CommandError, runCommand, tryCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import { NetnsLab } from "./lab.ts";
import { LeakLedger } from "./leak_ledger.ts";

Deno.test("a lab's namespaces are joined, run commands, and are gone afterwards", async () => {
  const ledger = LeakLedger.take();
  {
    await using lab = new NetnsLab();
    const [left, right] = [await lab.addNetns(), await lab.addNetns()];
    lab.addVeth({ netns: left, name: "l0", mtu: 1400 }, { netns: right, name: "r0" });
    await left.run(["ip", "addr", "add", "10.0.0.1/24", "dev", "l0"]);
    await right.run(["ip", "addr", "add", "10.0.0.2/24", "dev", "r0"]);
    const server = right.start(["socat", "-u", "TCP-LISTEN:7777,reuseaddr", "STDOUT"]);
    const client = ["socat", "-u", "STDIN", "TCP:10.0.0.2:7777,retry=50,interval=0.1"];
    await left.run(client, { stdin: "hello" });
    assert.deepEqual(await server.wait(), { code: 0, stdout: "hello", stderr: "" });
    left.start(["sleep", "1000"]);
    assert.equal(ledger.leaks().filter((leak) => leak.startsWith("netns ")).length, 2);
    await eventually(() => ledger.leaks().some((leak) => leak.endsWith(" sleep")));
  }
  await ledger.assertNoLeaks();
});

Deno.test("a lab removes the rest when something can't be removed", async () => {
  const ledger = LeakLedger.take();
  const lab = new NetnsLab();
  const [first, second] = [await lab.addNetns(), await lab.addNetns()];
  const trouble = new Error("in the way");
  lab.defer(() => {
    throw trouble;
  });
  await runCommand(["ip", "netns", "delete", second.name]);
  await assert.rejects(lab[Symbol.asyncDispose](), SuppressedError);
  assert(!ledger.leaks().includes(`netns ${first.name}`));
  await ledger.assertNoLeaks();
});

Deno.test("a command that runs too long is killed with its children", async () => {
  const ledger = LeakLedger.take();
  const argv = ["sh", "-c", "echo started; sleep 1000 & sleep 1000"];
  const before = performance.now();
  await assert.rejects(runCommand(argv, { timeoutMs: 200 }), (error) => {
    assert(error instanceof CommandError);
    assert.match(error.message, /killed after 200 ms\nstarted/);
    return true;
  });
  assert(performance.now() - before < 5000);
  await ledger.assertNoLeaks();
});

Deno.test("a failed command shows its output", async () => {
  const argv = ["sh", "-c", "echo out; echo err >&2; exit 3"];
  await assert.rejects(runCommand(argv), {
    name: "CommandError",
    message: /exit code 3\nout\nerr$/,
  });
  assert.deepEqual(await tryCommand(argv), { code: 3, stdout: "out\n", stderr: "err\n" });
});

Deno.test("a running command takes signals and tells what it wrote so far", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  const running = netns.start([
    "sh",
    "-c",
    "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done",
  ]);
  await eventually(() => running.stdout.includes("ready"));
  running.signal("SIGTERM");
  assert.deepEqual(await running.wait(), { code: 5, stdout: "ready\nbye\n", stderr: "" });
  running.signal("SIGTERM");
});

Deno.test("the ledger sees files in folders and is not misled by what was there", async () => {
  const dir = await Deno.makeTempDir({ prefix: "nvt-" });
  try {
    await Deno.writeTextFile(`${dir}/old`, "");
    const ledger = LeakLedger.take({ dirs: [dir, `${dir}/none`] });
    assert.deepEqual(ledger.leaks(), []);
    await Deno.mkdir(`${dir}/sub`);
    await Deno.writeTextFile(`${dir}/sub/new`, "");
    assert.deepEqual(ledger.leaks(), [`file ${dir}/sub`, `file ${dir}/sub/new`]);
    await assert.rejects(ledger.assertNoLeaks(1), { name: "EventuallyError" });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
