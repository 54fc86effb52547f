import assert from "node:assert/strict";
import { join } from "node:path";
import type { CommandResult } from "../../shared/testing/command.ts";
import {
  type Attachment,
  type CniResult,
  containerIdOf,
  type LabNode,
} from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { FailingAdds } from "./add_fail.ts";
import { scenario } from "./scenario.ts";

/** More than a run of the plugin makes of one call. */
const MOST_CALLS = 200;
/** 128 and SIGKILL. */
const KILLED = 137;
/** Codes of CNI's errors: the plugin cannot read its configuration; it does not get through to the agent. */
const [IO_FAILURE, TRY_AGAIN_LATER] = [5, 11];

/** A system call of novanet-cni that answers an error, or in which it dies (`kill`). */
interface PluginCall {
  readonly call: string;
  readonly what: string;
  /** The first one that is tried; those of Deno's start count too. */
  readonly first: number;
}

const row = (call: string, what: string, first = 1): PluginCall => ({ call, what, first });

const ROWS: readonly PluginCall[] = [
  // The end of Deno's start, and the configuration
  row("read", "EIO", 44),
  // The connection to the agent
  row("socket", "EMFILE"),
  row("connect", "ECONNREFUSED"),
  row("sendto", "EPIPE"),
  row("recvfrom", "ECONNRESET"),
  // The result, and what wakes Deno's threads
  row("write", "EIO"),
  row("connect", "kill"),
  row("sendto", "kill"),
  row("recvfrom", "kill"),
  row("write", "kill"),
  row("exit_group", "kill"),
];

scenario(
  "ADD leaves nothing when novanet-cni itself fails or is killed",
  {},
  async ({ lab, node, step }) => {
    await node.addPod("stays");
    const adds = await FailingAdds.on(lab, node, true);
    const netns = await lab.addNetns();
    for (const each of ROWS) {
      await step(`${each.call} ${each.what}`, async () => {
        let [failed, covered] = [0, false];
        for (let nth = each.first; nth <= MOST_CALLS && !covered; nth++) {
          const attachment = {
            containerId: containerIdOf(`${each.call} ${each.what} ${nth}`),
            netnsPath: netns.path,
            podName: "failing",
            podNamespace: "default",
          };
          const { added, injected } = await addWith(node, attachment, each, nth);
          const where = `number ${nth}: ${added.code} ${added.stdout}${added.stderr}`;
          await assertAnswer(node, added, injected, where);
          assert.deepEqual(await node.cni("DEL", attachment), { code: 0, stdout: "", stderr: "" });
          await adds.assertNothingLeft();
          if (injected) failed++;
          else covered = true;
        }
        assert(failed > 0, "an ADD makes no such call");
        assert(covered, `an ADD goes on after ${failed} of them`);
      });
    }
  },
);

/** ADD by a plugin one of whose calls fails. */
async function addWith(
  node: LabNode,
  attachment: Attachment,
  { call, what }: PluginCall,
  nth: number,
): Promise<{ added: CommandResult; injected: boolean }> {
  const fault = what === "kill" ? "signal=SIGKILL" : `error=${what}`;
  const trace = join(node.dir, "plugin.strace");
  const added = await node.cni("ADD", attachment, { quickAttach: true }, [
    "strace",
    "-f",
    ...["-o", trace],
    ...["-e", `trace=${call}`],
    ...["-e", `inject=${call}:${fault}:when=${nth}`],
  ]);
  const calls = await Deno.readTextFile(trace);
  return { added, injected: /\(INJECTED\)|killed by SIGKILL/.test(calls) };
}

/** Success is a pod that answers; an error is one of CNI, or the process ends without a word. */
async function assertAnswer(
  node: LabNode,
  { code, stdout, stderr }: CommandResult,
  injected: boolean,
  where: string,
): Promise<void> {
  if (!injected) assert.equal(code, 0, where);
  assert.doesNotMatch(stderr, /Uncaught/, where);
  if (code === 0) {
    const [address] = (JSON.parse(stdout) as CniResult).ips;
    await ping(node.netns, address?.address.split("/")[0] ?? assert.fail(where));
  } else if (stdout !== "" && code !== KILLED) {
    const error = JSON.parse(stdout) as { code: unknown; msg: unknown };
    assert(error.code === IO_FAILURE || error.code === TRY_AGAIN_LATER, where);
    assert.equal(typeof error.msg, "string", where);
  }
}
