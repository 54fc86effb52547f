import assert from "node:assert/strict";
import { EXECUTABLES } from "../../tools/build/executables.ts";
import { type ExecutableName, PERMISSIONS } from "../../tools/permissions.ts";
import { PermissionNode } from "./permission_node.ts";

const NETWORK = '"cniVersion":"1.0.0","name":"novanet","type":"novanet-cni"';

/** Does what needs each permission of an executable; throws when something of it fails. */
type Exercise = (node: PermissionNode, permissions: readonly string[]) => Promise<void>;

async function startDataplane(node: PermissionNode, permissions?: readonly string[]) {
  const argv = node.argv("novanet-dataplane", permissions);
  return await node.start(argv, "/run/novanet/dataplane.sock");
}

// Each variable has a part in the pod's address below.
const AGENT_ENV = { NOVAROUTE_CLUSTER_CIDR: "10.9.0.0/16", NOVANET_POD_CIDR: "10.9.8.0/24" };

async function startAgent(node: PermissionNode, permissions?: readonly string[]) {
  const argv = [...node.argv("novanet-agent", permissions), "--node-ip", "192.0.2.1"];
  return await node.start(argv, "/run/novanet/cni.sock", AGENT_ENV);
}

const EXERCISES: Readonly<Record<ExecutableName, Exercise>> = {
  async "novanet-dataplane"(node, permissions) {
    const dataplane = await startDataplane(node, permissions);
    assert.equal((await dataplane.stop()).code, 0);
  },
  async "novanet-agent"(node, permissions) {
    await startDataplane(node);
    const agent = await startAgent(node, permissions);
    const added = await node.run(node.argv("novanet-cni"), {
      env: {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: "0123456789ab",
        CNI_IFNAME: "eth0",
        CNI_NETNS: "/run/netns/pod",
        CNI_PATH: "/opt/cni/bin",
      },
      stdin: `{${NETWORK}}`,
    });
    assert.match(added.stdout, /"address":\s*"10\.9\.8\.\d+\/24"/, added.stderr);
    const health = await node.run(["curl", "-fsS", "http://127.0.0.1:9103/healthz"]);
    assert.equal(health.code, 0, health.stderr);
    assert.equal((await agent.stop()).code, 0);
  },
  async "novanet-cni"(node, permissions) {
    const { code } = await node.run(node.argv("novanet-cni", permissions), {
      env: {
        CNI_COMMAND: "DEL",
        CNI_CONTAINERID: "0123456789ab",
        CNI_IFNAME: "eth0",
        CNI_PATH: "/opt/cni/bin",
      },
      stdin: `{${NETWORK}}`,
    });
    assert.equal(code, 0);
    // There is no agent: the DEL waits for it.
    assert.equal([...Deno.readDirSync(node.path("/var/lib/novanet/spool"))].length, 1);
    // An install gets as far as copying the executable, which a bundle is not.
    const answer = `#!/bin/sh\necho '{"supportedVersions":["1.0.0"]}'\n`;
    Deno.writeTextFileSync(node.path("/run/portmap"), answer, { mode: 0o755 });
    const folders = ["--bin-dir", "/run", "--conf-dir", "/run"];
    const argv = [...node.argv("novanet-cni", permissions), "install", ...folders];
    const { stderr } = await node.run([...argv, "--chain", "portmap"]);
    assert.match(stderr, /own executable/);
  },
  async "novanetctl"(node, permissions) {
    await startDataplane(node);
    await startAgent(node);
    const { code, stderr } = await node.run([...node.argv("novanetctl", permissions), "status"]);
    assert.equal(code, 0, stderr);
  },
};

/** Every way to take one permission away: a whole flag, or one of the values that a flag lists. */
function removals(flags: readonly string[]): { removed: string; left: string[] }[] {
  return flags.flatMap((flag, at) => {
    const without = (replacement: string[]) => flags.toSpliced(at, 1, ...replacement);
    const [name, list] = flag.split("=", 2);
    const values = list?.split(",") ?? [];
    const single = values.length < 2 ? [] : values.map((value) => ({
      removed: `${name}=${value}`,
      left: without([`${name}=${values.filter((other) => other !== value).join(",")}`]),
    }));
    return [{ removed: flag, left: without([]) }, ...single];
  });
}

async function exercise(name: ExecutableName, permissions: readonly string[]): Promise<void> {
  await using node = await PermissionNode.make();
  await EXERCISES[name](node, permissions);
}

for (const { name } of EXECUTABLES) {
  Deno.test(`${name} needs each permission that it has, and no other`, async (t) => {
    await exercise(name, PERMISSIONS[name]);
    for (const { removed, left } of removals(PERMISSIONS[name])) {
      await t.step(`without ${removed} something fails`, async () => {
        await assert.rejects(exercise(name, left));
      });
    }
  });
}
