import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { type CommandResult, tryCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { sendPacket } from "../../shared/testing/sockets.ts";
import { udp } from "../../shared/testing/packets.ts";
import { scenario } from "./scenario.ts";

const [FAILURE, USAGE, UNREACHABLE, NOT_FOUND, PERMISSION] = [1, 2, 3, 4, 5];

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }], ports: [{ port: 8080 }] }]
`;

/** Each listing: the columns that its table begins with (wire/novanet.md, section 8), and what must be in it. */
const LISTINGS: readonly (readonly [
  command: string,
  columns: readonly string[],
  has: readonly RegExp[],
])[] = [
  [
    "policy",
    ["SRC_IDENTITY", "DST_IDENTITY", "PROTOCOL", "PORT", "ACTION"],
    [/TCP.*8080.*ALLOW.*shop\/guard:ingress\[0\]/, /DENY.*shop\/guard:ingress\[default-deny\]/],
  ],
  [
    "identity",
    ["ID", "POD_COUNT", "LABELS"],
    [/^\d+\s+1\s+app=web,novanet\.io\/namespace=shop/m],
  ],
  ["pods", [], [/shop.*web.*10\.244\.0\.2/, /shop.*friend.*10\.244\.0\.3/]],
  ["tunnels", ["NODE", "NODE_IP", "POD_CIDR", "INTERFACE", "IFINDEX", "PROTOCOL"], []],
  ["egress", ["NAMESPACE", "NAME", "SRC_IDENTITY", "DST_CIDR", "PROTOCOL", "PORT", "ACTION"], []],
];

scenario("novanetctl on a living node", {}, async ({ node, step }) => {
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const [web, _friend, stranger] = [await pod("web"), await pod("friend"), await pod("stranger")];
  await node.writeManifest("policy.yaml", POLICY);
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[0]"));
  sendPacket(
    stranger.netns,
    { src: stranger.ip, dst: web.ip },
    udp({ srcPort: 1, dstPort: 2 }),
  );
  const ctl = (...args: string[]) => tryCommand(node.ctlArgv(...args));
  const good = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ctl(...args);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    return stdout;
  };
  const formats = async (command: string) => {
    const [json, yaml] = [await good(command, "-o", "json"), await good(command, "-o", "yaml")];
    const value: unknown = JSON.parse(json);
    assert.deepEqual(parse(yaml), value, "YAML says what JSON says");
    return value;
  };

  for (const [command, columns, has] of LISTINGS) {
    await step(`${command}: table, wide, JSON, YAML`, async () => {
      const table = await good(command);
      const [header = ""] = table.split("\n");
      assert.deepEqual(header.split("\t").slice(0, columns.length), columns);
      for (const text of has) assert.match(table, text);
      const wide = await good(command, "-o", "wide");
      assert(wide.split("\n")[0]!.split("\t").length >= header.split("\t").length);
      const bare = await good(command, "--no-headers");
      assert(!bare.includes(header));
      const rows = table.trim().split("\n").length - 1;
      assert.equal(bare.split("\n").filter((line) => line !== "").length, rows);
      const value = await formats(command);
      const [list = []] = Array.isArray(value) ? [value] : Object.values(value as object);
      assert.equal((list as unknown[]).length, rows, "as many in JSON as in the table");
    });
  }

  await step("status", async () => {
    const table = await good("status");
    for (
      const text of ["lab", "192.0.2.10", "10.244.0.0/24", "10.244.0.0/16", "overlay", "connected"]
    ) {
      assert(table.includes(text), `${text} in\n${table}`);
    }
    const status = await formats("status") as Record<string, unknown>;
    assert.equal(status["node_ip"], "192.0.2.10");
    assert.equal(status["endpoint_count"], 3);
    assert.deepEqual(status["dataplane"], { connected: true, attached_programs: 6 });
    assert(!("novaroute_connected" in status), "what is false is left out");
  });

  await step("metrics", async () => {
    assert.match(await good("metrics"), /POLICY_DENIED\D+1/);
    await formats("metrics");
  });

  await step("version", async () => {
    assert.match(await good("version"), /^novanetctl \d+\.\d+\.\d+ /);
    assert.match(await good("--version"), /^novanetctl \d+\.\d+\.\d+ /);
    await formats("version");
  });

  await step("sysdump is a tar.gz with what both daemons hold", async () => {
    const file = join(node.dir, "dump.tar.gz");
    const { code, stderr } = await ctl(
      ...["sysdump", "-w", file, "--dataplane-socket", node.socket("dataplane.sock")],
    );
    assert.equal(code, 0, stderr);
    const { stdout } = await tryCommand(["tar", "-tzf", file]);
    assert(stdout.trim().split("\n").length > 4, stdout);
    const folder = join(node.dir, "dump");
    await Deno.mkdir(folder);
    assert.equal((await tryCommand(["tar", "-xzf", file, "-C", folder])).code, 0);
    const { stdout: found } = await tryCommand(["grep", "-rl", "shop/guard", folder]);
    assert.notEqual(found, "", "the policy is in it");
    const { stdout: piped } = await tryCommand(["sh", "-c", '"$@" | tar -tz', "sh"].concat(
      node.ctlArgv("sysdump", "-w", "-", "--dataplane-socket", node.socket("dataplane.sock")),
    ));
    assert(piped.trim().split("\n").length > 4, piped);
  });

  for (const [shell, check] of [["bash", ["bash", "-n"]], ["zsh", []], ["fish", []]] as const) {
    await step(`completion ${shell}`, async () => {
      const script = await good("completion", shell);
      assert.match(script, /novanetctl/);
      if (check.length === 0) return;
      const checked = await tryCommand([...check, "/dev/stdin"], { stdin: script });
      assert.equal(checked.code, 0, checked.stderr);
    });
  }

  await step("--watch prints again and again until Ctrl-C", async () => {
    const watching = node.netns.start(node.ctlArgv("identity", "--watch", "--interval", "1"));
    const shown = () => watching.stdout.split("LABELS").length - 1;
    await eventually(() => shown() >= 2);
    watching.signal("SIGINT");
    assert.equal((await watching.wait()).code, 0);
  });

  const said = ({ stderr }: CommandResult) => stderr.trim().split("\n");
  const wrong: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
    [["nothing"], USAGE, /nothing/],
    [["status", "--output", "xml"], USAGE, /xml/],
    [["flows", "--port", "70000"], USAGE, /70000/],
    [["status", "--watch", "--interval", "0"], USAGE, /0/],
    [["flows", "--ip", "10.0.0.0/40"], USAGE, /10\.0\.0\.0\/40/],
    [["capture", "shop/nobody", "-w", "-"], NOT_FOUND, /shop\/nobody/],
    [["sysdump", "-w", "/nowhere/at/all.tar.gz"], FAILURE, /\/nowhere\/at\/all/],
  ];
  for (const [args, code, says] of wrong) {
    await step(`exit code ${code}: ${args.join(" ")}`, async () => {
      const result = await ctl(...args);
      assert.equal(result.code, code, result.stderr);
      assert.equal(result.stdout, "");
      assert.match(result.stderr, says);
    });
  }

  await step("another user: one line, exit code 5", async () => {
    // The checkout may be where others cannot go.
    const executable = join(node.dir, "novanetctl");
    await Deno.copyFile(node.executable("novanetctl"), executable);
    await Deno.chmod(node.dir, 0o755);
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    const result = await tryCommand([...nobody, executable, ...node.ctlArgv("status").slice(1)]);
    assert.equal(result.code, PERMISSION, result.stderr);
    assert.equal(said(result).length, 1, result.stderr);
  });

  await step("a missing daemon: one clear line, exit code 3", async () => {
    await node.agent.kill();
    for (const command of ["status", "policy", "pods", "flows", "metrics"]) {
      const result = await ctl(command);
      assert.equal(result.code, UNREACHABLE, result.stderr);
      // A stream has its head line, as always.
      if (command !== "flows") assert.equal(result.stdout, "");
      assert.equal(said(result).length, 1, result.stderr);
      assert.match(result.stderr, /novanet-agent/);
      assert(result.stderr.includes(node.socket("novanet.sock")), result.stderr);
    }
    assert.equal((await ctl("version")).code, 0, "which asks nobody");
  });

  await step("sysdump holds what the dataplane says when the agent is away", async () => {
    const file = join(node.dir, "half.tar.gz");
    const { stderr } = await ctl(
      ...["sysdump", "-w", file, "--dataplane-socket", node.socket("dataplane.sock")],
    );
    assert.match(stderr, /agent/);
    const { stdout } = await tryCommand(["tar", "-tzf", file]);
    assert.match(stdout, /dataplane/);
  });
});
