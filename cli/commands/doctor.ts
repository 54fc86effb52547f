import { dirname } from "node:path";
import { type Finding, inspect } from "../../shared/doctor/fault.ts";
import type { InspectNodeResponse } from "../../shared/gen/novanet/ext/v1/doctor_pb.ts";
import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { VERSION } from "../../shared/version.ts";
import { agentDaemon, agentExt } from "../agent.ts";
import { localFaults } from "../doctor/local_faults.ts";
import { CliError, type Daemon, daemonError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import type { OptionsOf } from "../options.ts";
import { type Column, Printer, printFields } from "../output.ts";

type DoctorOptions = OptionsOf<"doctor">;
type Facts = Record<string, string>;

/** A node with hundreds of pods takes seconds to look through, and minutes to repair. */
const TIMEOUT_MS = 120_000;

const NO_REPAIR = { repairable: false, warning: false, repaired: false, repairError: "" } as const;

/** All that was found, and what could not be asked. */
interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly facts: Facts;
  /** Daemons that do not answer. */
  readonly down: readonly Daemon[];
}

/**
 * `doctor`: what is wrong on this node, and with --fix what was done about it.
 * @throws {CliError} when something is wrong: UNREACHABLE when a daemon is down, else FAILURE
 */
export async function doctor(options: DoctorOptions, io: Io): Promise<void> {
  const { findings: found, facts, down } = await diagnose(options);
  const findings = [...found, ...otherVersions(facts)];
  for (const { name, socketPath } of down) {
    const unseen = name === "novanet-agent"
      ? "pods, addresses, interfaces and routes"
      : "programs, maps and pins";
    await io.stderr.write(
      `Note: ${name} does not answer on ${socketPath}: ${unseen} ` +
        "were not looked at; the rest was\n",
    );
  }
  await print(options, io, findings, facts);
  const wrong = findings.filter(({ repaired, warning }) => !repaired && !warning);
  if (wrong.length === 0) return;
  const code = down.length > 0 ? ExitCode.UNREACHABLE : ExitCode.FAILURE;
  throw new CliError(code, summary(wrong, options.fix));
}

async function diagnose(options: DoctorOptions): Promise<Diagnosis> {
  const { agentSocket, dataplaneSocket, cniConfDir, cniBinDir, fix } = options;
  const local = await inspect(() =>
    localFaults({
      sockets: [agentSocket, `${dirname(agentSocket)}/cni.sock`, dataplaneSocket],
      cniConfDir,
      cniBinDir,
    }), { repair: fix, pauseMs: 0 });
  const agent = agentDaemon(options);
  const node = await ask(agent, () => askAgent(options));
  if (!("fault" in node) && node.dataplaneConnected) {
    return { findings: [...local, ...node.findings], facts: factsOf(node), down: [] };
  }
  const dataplane: Daemon = {
    name: "novanet-dataplane",
    socketPath: dataplaneSocket,
    flag: "--dataplane-socket",
  };
  const datapath = await ask(dataplane, () => askDataplane(options));
  const findings: Finding[] = [];
  const down: Daemon[] = [];
  if ("fault" in node) {
    findings.push(node.fault);
    down.push(agent);
  }
  if ("fault" in datapath) {
    findings.push(datapath.fault);
    down.push(dataplane);
  } else if (!("fault" in node)) findings.push(notConnected(dataplane));
  for (const part of [node, datapath]) if (!("fault" in part)) findings.push(...part.findings);
  return {
    findings: [...findings, ...local],
    facts: { ...factsOf(node), ...factsOf(datapath) },
    down,
  };
}

async function askAgent(options: DoctorOptions): Promise<InspectNodeResponse> {
  using agent = agentExt(options);
  return await agent.inspectNode({ repair: options.fix }, { timeoutMs: TIMEOUT_MS });
}

async function askDataplane({ dataplaneSocket, fix }: DoctorOptions) {
  using dataplane = createRpcClient(DataplaneExt, { socketPath: dataplaneSocket });
  return await dataplane.inspectDatapath({ repair: fix }, { timeoutMs: TIMEOUT_MS });
}

/** A daemon that is down is a finding. @throws {CliError} when it answered otherwise than it should */
async function ask<T>(daemon: Daemon, call: () => Promise<T>): Promise<T | { fault: Finding }> {
  try {
    return await call();
  } catch (thrown) {
    const error = daemonError(daemon, thrown);
    if (error.exitCode !== ExitCode.UNREACHABLE) throw error;
    return {
      fault: daemonFault(daemon, error.message, `start it: systemctl start ${daemon.name}`),
    };
  }
}

function notConnected(dataplane: Daemon): Finding {
  const found = "it answers, but the agent is not connected to it";
  return daemonFault(dataplane, found, "compare the agent's dataplane_socket with this one");
}

function daemonFault({ name, socketPath }: Daemon, found: string, remedy: string): Finding {
  const expected = `answers on ${socketPath}`;
  return { ...NO_REPAIR, kind: "daemon", object: name, expected, found, remedy };
}

function factsOf(answer: object): Facts {
  const { facts = [] } = answer as { facts?: readonly { name: string; value: string }[] };
  return Object.fromEntries(facts.map(({ name, value }) => [name, value]));
}

/** An update that was not finished: a daemon was not started again, or not replaced. */
function otherVersions(facts: Facts): Finding[] {
  return ["novanet-agent", "novanet-dataplane"].flatMap((object): Finding[] => {
    const version = facts[object]?.split(",")[0] ?? VERSION;
    if (version === VERSION) return [];
    return [{
      ...NO_REPAIR,
      kind: "version",
      object,
      expected: `${VERSION}, as novanetctl`,
      found: version,
      remedy: `install one version of all, and start ${object} again`,
      warning: true,
    }];
  });
}

/** What became of a finding, in one word. */
function stateOf({ repaired, warning, repairError }: Finding): string {
  if (repaired) return "repaired";
  if (warning) return "warning";
  return repairError === "" ? "wrong" : "not repaired";
}

function whatToDo({ remedy, repaired, repairError }: Finding): string {
  if (repaired) return "-";
  return (repairError === "" ? remedy : `${remedy}; it failed: ${repairError}`) || "-";
}

const COLUMNS: readonly Column<Finding>[] = [
  { header: "STATE", text: stateOf, color: (one) => one.repaired ? "green" : "red" },
  { header: "KIND", text: ({ kind }) => kind },
  { header: "OBJECT", text: ({ object }) => object || "-" },
  { header: "EXPECTED", text: ({ expected }) => expected || "-" },
  { header: "FOUND", text: ({ found }) => found || "-" },
  { header: "TO_DO", text: whatToDo },
];

async function print(
  options: DoctorOptions,
  io: Io,
  findings: readonly Finding[],
  facts: Facts,
): Promise<void> {
  const all = { novanetctl: VERSION, ...facts };
  if (options.output === "json" || options.output === "yaml") {
    const json = { facts: all, findings: findings.map((finding) => findingJson(finding)) };
    return await printFields(io, options, [], json);
  }
  if (options.output === "wide" || io.stdout.columns !== undefined) {
    const fields = Object.entries(all).map(([key, value]) => ({ key, value }));
    await printFields(io, options, fields, all);
  }
  if (io.stdout.columns !== undefined) await io.stdout.write(blocks(findings));
  else if (findings.length > 0) {
    const view = { columns: COLUMNS, json: findingJson };
    await new Printer(io, { ...options, watch: false }, view).list(findings);
  }
}

/** A table of sentences fits no terminal. */
function blocks(findings: readonly Finding[]): string {
  const clean = (text: string) => text.replaceAll(/\p{Cc}/gu, " ");
  const lines = findings.flatMap((finding) => [
    "",
    `${stateOf(finding).toUpperCase()}  ${finding.kind} ${finding.object}`,
    ...[["expected", finding.expected], ["found", finding.found], ["to do", whatToDo(finding)]]
      .filter(([, text]) => text !== "" && text !== "-")
      .map(([key = "", text]) => `  ${key.padEnd(9)} ${text}`),
  ]);
  return [...lines, ...findings.length === 0 ? ["nothing is wrong"] : []].map(clean)
    .map((line) => `${line}\n`).join("");
}

function findingJson(finding: Finding) {
  const { kind, object, expected, found, remedy, repairable, warning, repaired, repairError } =
    finding;
  return {
    state: stateOf(finding),
    kind,
    object,
    expected,
    found,
    remedy,
    repairable,
    warning,
    repaired,
    repair_error: repairError,
  };
}

function summary(wrong: readonly Finding[], fix: boolean): string {
  const count = wrong.length === 1 ? "1 thing is wrong" : `${wrong.length} things are wrong`;
  const repairable = wrong.filter((finding) => finding.repairable).length;
  if (fix) return `${count} still`;
  return repairable === 0
    ? count
    : `${count}; novanetctl doctor --fix repairs ${repairable} of them`;
}
