import { tryCommand } from "../../shared/testing/command.ts";
import type { LabNode } from "../../shared/testing/node.ts";

/** What `novanetctl doctor` says of the node, one text each. */
export async function diagnosis(node: LabNode): Promise<string[]> {
  const argv = node.ctlArgv(
    "--dataplane-socket",
    node.socket("dataplane.sock"),
    "doctor",
    "--json",
  );
  const { code, stdout, stderr } = await tryCommand(argv, { timeoutMs: 120_000 });
  if (code === 0) return [];
  const { findings } = JSON.parse(stdout || '{"findings":[]}') as {
    findings: Record<string, string>[];
  };
  const texts = findings.filter(({ state }) => state !== "warning").map(({ kind, object, found }) =>
    `doctor: ${kind} ${object}: ${found}`
  );
  return texts.length > 0 ? texts : [`doctor: ${stderr}`];
}
