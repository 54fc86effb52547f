import { agentExt } from "../agent.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import type { OptionsOf } from "../options.ts";
import { indentOf, printDocument, printText } from "../output.ts";
import { type PodName, podName } from "../pod_name.ts";
import { explanationJson, explanationLines } from "../explain/text.ts";
import { isNameable, networkPolicy } from "../suggest/network_policy.ts";
import { notes } from "../suggest/notes.ts";

/** `policy explain` */
export async function explainPolicy(options: OptionsOf<"policy explain">, io: Io): Promise<void> {
  using agent = agentExt(options);
  const answer = await agent.explainPolicy(await podOf(agent, options));
  await printText(io, options, explanationLines(answer), explanationJson(answer));
}

type Agent = ReturnType<typeof agentExt>;

/** The pod that is named, or that has the address, as `trace` takes it. @throws {CliError} */
async function podOf(
  agent: Agent,
  options: OptionsOf<"policy explain" | "policy suggest">,
): Promise<PodName> {
  const { pod: { namespace, name } } = options;
  if (namespace !== undefined || !/^[0-9.]+$/.test(name)) return podName(options);
  const { pods } = await agent.listPods({});
  const found = pods.find(({ ip }) => ip === name);
  if (found === undefined) {
    const why = `there is no pod with the address ${name} on this node`;
    throw new CliError(ExitCode.NOT_FOUND, why);
  }
  return { namespace: found.namespace, name: found.name };
}

/** `policy suggest`: YAML with comments, or JSON with notes beside it. */
export async function suggestPolicy(options: OptionsOf<"policy suggest">, io: Io): Promise<void> {
  using agent = agentExt(options);
  const pod = await podOf(agent, options);
  const answer = await agent.getPodFlows(pod);
  const policy = networkPolicy(pod.name, answer, answer.flows.filter(isNameable));
  const told = notes(`${pod.namespace}/${pod.name}`, answer);
  if (options.output === "json") {
    for (const note of told) await io.stderr.write(`Note: ${note}\n`);
    await printDocument(io, "json", policy, indentOf(options));
    return;
  }
  await io.stdout.write(told.map((note) => `# ${note.replaceAll(/\p{Cc}/gu, " ")}\n`).join(""));
  await printDocument(io, "yaml", policy);
}
