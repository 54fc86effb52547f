import assert from "node:assert/strict";
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

function doctor(findings: object[], args: readonly string[], columns?: number) {
  const inspectNode = ({ repair }: { repair: boolean }) => ({
    findings: findings.map((finding) => ({ ...finding, repaired: repair && finding === MISSING })),
    facts: [{ name: "pods", value: "3" }],
    dataplaneConnected: true,
  });
  return ctl({ ext: { inspectNode } }, ["doctor", ...ELSEWHERE, ...args], new TestIo(columns));
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
  const { exitCode, stdout } = await ctl({ ext: { inspectNode } }, ["doctor", ...ELSEWHERE]);
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
  assert.match(io.stdout.text(), /^wrong\tdaemon\tnovanet-agent\t/m);
});
