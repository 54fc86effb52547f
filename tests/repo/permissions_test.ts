import assert from "node:assert/strict";
import { EXECUTABLES } from "../../tools/build/executables.ts";
import { type ExecutableName, PERMISSIONS } from "../../tools/permissions.ts";
import { PermissionNode } from "./permission_node.ts";

const DATAPLANE_SOCKET = "/run/novanet/dataplane.sock";
const AGENT_ARGS = ["--node-ip", "192.0.2.1", "--pod-cidr", "10.244.0.0/24"];

/** Does what needs each permission of an executable; throws when something of it fails. */
type Exercise = (node: PermissionNode, permissions: readonly string[]) => Promise<void>;

const EXERCISES: Readonly<Record<ExecutableName, Exercise>> = {
  async "novanet-dataplane"(node, permissions) {
    const dataplane = await node.start(
      node.argv("novanet-dataplane", permissions),
      DATAPLANE_SOCKET,
    );
    assert.equal((await dataplane.stop()).code, 0);
  },
  async "novanet-agent"(node, permissions) {
    const dataplane = await node.start(node.argv("novanet-dataplane"), DATAPLANE_SOCKET);
    const argv = [...node.argv("novanet-agent", permissions), ...AGENT_ARGS];
    const agent = await node.start(argv, "/run/novanet/cni.sock");
    assert.equal((await agent.stop()).code, 0);
    assert.equal((await dataplane.stop()).code, 0);
  },
  async "novanet-cni"(node, permissions) {
    const { code } = await node.run(node.argv("novanet-cni", permissions), {
      env: {
        CNI_COMMAND: "DEL",
        CNI_CONTAINERID: "c1",
        CNI_IFNAME: "eth0",
        CNI_PATH: "/opt/cni/bin",
      },
      stdin: '{"cniVersion":"1.0.0","name":"novanet","type":"novanet-cni"}',
    });
    assert.equal(code, 0);
    // There is no agent: the DEL waits for it.
    assert.equal([...Deno.readDirSync(node.path("/var/lib/novanet/spool"))].length, 1);
  },
  async "novanetctl"(node, permissions) {
    assert.equal((await node.run([...node.argv("novanetctl", permissions), "--version"])).code, 0);
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
