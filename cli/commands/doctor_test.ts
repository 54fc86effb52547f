import assert from "node:assert/strict";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcServer } from "../../shared/rpc/server.ts";
import { ctl, KEEPS_SHIM, TestIo } from "../testing.ts";

const MISSING = {
  kind: "route",
  object: "10.244.0.5/32",
  expected: "dev nv0123456789a",
  found: "no route",
  remedy: "--fix sets it up again",
  repairable: true,
};
const WARNING = { kind: "node", found: "forwarding is off on eth0", warning: true };
/** Nothing of this machine's own. */
const ELSEWHERE = ["--cni-conf-dir", "/nowhere", "--cni-bin-dir", "/nowhere"];

/** Runs the doctor against an agent, and a dataplane where it looks, unless the arguments say otherwise. */
async function run(
  inspectNode: (request: { repair: boolean }) => object,
  args: readonly string[] = [],
  columns?: number,
) {
  const folder = Deno.makeTempDirSync();
  const socket = `${folder}/run/dataplane.sock`;
  const server = new RpcServer();
  server.add(DataplaneControl, { getDataplaneStatus: () => ({}) });
  await server.listenUnix(socket);
  const where = args.includes("--dataplane-socket") ? [] : ["--dataplane-socket", socket];
  const argv = ["doctor", ...ELSEWHERE, ...where, ...args];
  try {
    return await ctl({ ext: { inspectNode } }, argv, new TestIo(columns));
  } finally {
    await server.close(0);
    Deno.removeSync(folder, { recursive: true });
  }
}

function doctor(findings: object[], args: readonly string[], columns?: number) {
  const inspectNode = ({ repair }: { repair: boolean }) => ({
    findings: findings.map((finding) => ({ ...finding, repaired: repair && finding === MISSING })),
    facts: [{ name: "pods", value: "3" }],
    dataplaneConnected: true,
  });
  return run(inspectNode, args, columns);
}

Deno.test("doctor prints a table in a pipe, and fails", KEEPS_SHIM, async () => {
  const { exitCode, stdout, stderr } = await doctor([MISSING, WARNING], []);
  assert.equal(exitCode, 1);
  assert.deepEqual(stdout.split("\n"), [
    "STATE\tKIND\tOBJECT\tEXPECTED\tFOUND\tTO_DO",
    "wrong\troute\t10.244.0.5/32\tdev nv0123456789a\tno route\t--fix sets it up again",
    "warning\tnode\t-\t-\tforwarding is off on eth0\t-",
    "",
  ]);
  assert.equal(stderr, "Error: 1 thing is wrong; novanetctl doctor --fix repairs 1 of them\n");
});

Deno.test("doctor --fix that repaired all is a success", KEEPS_SHIM, async () => {
  const { exitCode, stdout, stderr } = await doctor([MISSING, WARNING], ["--fix"]);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  assert.match(stdout, /^repaired\troute\t10\.244\.0\.5\/32\t/m);
});

Deno.test("doctor on a terminal tells each finding in lines of its own", KEEPS_SHIM, async () => {
  const { stdout } = await doctor([MISSING], ["--no-color"], 80);
  assert.match(stdout, /^pods +3$/m);
  assert.match(stdout, /\nWRONG {2}route 10\.244\.0\.5\/32\n {2}expected {2}dev nv0123456789a\n/);
  assert.match(stdout, /\n {2}to do {5}--fix sets it up again\n$/);
  assert.match((await doctor([], [], 80)).stdout, /nothing is wrong\n$/);
});

Deno.test("doctor that finds nothing says so in a pipe too", KEEPS_SHIM, async () => {
  const { exitCode, stdout, stderr } = await doctor([], []);
  assert.deepEqual([exitCode, stdout, stderr], [0, "nothing is wrong\n", ""]);
});

Deno.test("doctor finds a dataplane's socket where nobody is", KEEPS_SHIM, async () => {
  const { exitCode, stdout, stderr } = await doctor([], ["--dataplane-socket", "/nowhere/d.sock"]);
  assert.equal(exitCode, 3);
  assert.match(
    stdout,
    /^wrong\tdaemon\tnovanet-dataplane\tanswers on \/nowhere\/d\.sock\t.* connected to one else/m,
  );
  assert.match(
    stderr,
    /^Note: novanet-dataplane does not answer .* the mode of its socket was not /,
  );
});

Deno.test("doctor --fix touches nothing at a path where no daemon is", KEEPS_SHIM, async () => {
  const dir = Deno.makeTempDirSync();
  const path = `${dir}/x.sock`;
  using _others = Deno.listen({ transport: "unix", path: `${dir}/cni.sock` });
  Deno.chmodSync(`${dir}/cni.sock`, 0o666);
  Deno.chmodSync(dir, 0o755);
  const io = new TestIo();
  const { main } = await import("../run.ts");
  const argv = ["--agent-socket", path, "--dataplane-socket", path, "--fix", "--json"];
  assert.equal(await main(["doctor", ...ELSEWHERE, ...argv], io), 3);
  const { findings } = JSON.parse(io.stdout.text());
  assert.deepEqual(
    findings.map(({ kind, repairable }: Record<string, unknown>) => [kind, repairable]),
    [["daemon", false], ["daemon", false]],
  );
  const modes = [dir, `${dir}/cni.sock`].map((each) => (Deno.statSync(each).mode ?? 0) & 0o777);
  assert.deepEqual(modes, [0o755, 0o666]);
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("doctor --json has facts and findings", KEEPS_SHIM, async () => {
  const { exitCode, stdout } = await doctor([WARNING], ["--json"]);
  assert.equal(exitCode, 0, "a warning is no failure");
  const { facts, findings } = JSON.parse(stdout);
  assert.equal(facts.pods, "3");
  assert.equal(findings[0].state, "warning");
});

Deno.test("doctor warns of a daemon of another version", KEEPS_SHIM, async () => {
  const inspectNode = () => ({
    facts: [{ name: "novanet-dataplane", value: "0.0.9, map layout 1, object 0123abcd" }],
    dataplaneConnected: true,
  });
  const { exitCode, stdout } = await run(inspectNode);
  assert.equal(exitCode, 0);
  assert.match(stdout, /^warning\tversion\tnovanet-dataplane\t.*\t0\.0\.9\t/m);
});

Deno.test("doctor without any daemon says so and looks at the rest", KEEPS_SHIM, async () => {
  const io = new TestIo();
  const sockets = ["--agent-socket", "/nowhere/a.sock", "--dataplane-socket", "/nowhere/d.sock"];
  const { main } = await import("../run.ts");
  assert.equal(await main(["doctor", ...ELSEWHERE, ...sockets], io), 3);
  assert.match(
    io.stderr.text(),
    /^Note: novanet-agent does not answer .*\nNote: novanet-dataplane /,
  );
  assert.match(
    io.stdout.text(),
    /^wrong\tdaemon\tnovanet-agent\tanswers on \/nowhere\/a.sock\tno such socket\tstart it: /m,
  );
});
