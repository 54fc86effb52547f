import { type Finding, inspect } from "../../shared/doctor/fault.ts";
import type { InspectNodeResponse } from "../../shared/gen/novanet/ext/v1/doctor_pb.ts";
import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { agentDaemon, agentExt } from "../agent.ts";
import { type CliError, type Daemon, daemonError, whyUnreachable } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { OptionsOf } from "../options.ts";
import { localFaults } from "./local_faults.ts";

/** A node with hundreds of pods takes seconds to look through, and minutes to repair. */
const TIMEOUT_MS = 120_000;
const GREETING_TIMEOUT_MS = 10_000;

/** The rest of a finding that only a person can do something about. */
export const NO_REPAIR = {
  repairable: false,
  warning: false,
  repaired: false,
  repairError: "",
} as const;

type DoctorOptions = OptionsOf<"doctor">;

/** What was looked at, by name. */
export type Facts = Record<string, string>;

/** All that was found, and what could not be asked. */
export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly facts: Facts;
  /** Daemons that do not answer. */
  readonly down: readonly Down[];
}

interface Down {
  readonly daemon: Daemon;
  /** What was not looked at therefore, with its verb. */
  readonly unseen: string;
}

type Inspected = Pick<InspectNodeResponse, "findings" | "facts">;
type Answer<T> = T | { readonly error: CliError };

/** Asks the daemons, looks at what can be seen without them, and repairs it if asked to. */
export async function diagnose(options: DoctorOptions): Promise<Diagnosis> {
  const { agentSocket, dataplaneSocket, cniConfDir, cniBinDir, fix } = options;
  const agent = agentDaemon(options);
  const dataplane: Daemon = {
    name: "novanet-dataplane",
    socketPath: dataplaneSocket,
    flag: "--dataplane-socket",
  };
  const node = await ask(agent, () => askAgent(options));
  const connected = !isError(node) && node.dataplaneConnected;
  const datapath = await ask(
    dataplane,
    () => connected ? greetDataplane(options) : askDataplane(options),
  );
  const sockets = [
    { path: agentSocket, answers: !isError(node) },
    { path: dataplaneSocket, answers: !isError(datapath) },
  ];
  const local = await inspect(
    () => localFaults({ sockets, cniConfDir, cniBinDir }),
    { repair: fix, pauseMs: 0 },
  );
  const findings: Finding[] = [];
  const down: Down[] = [];
  if (isError(node)) {
    findings.push(notListening(agent, node.error));
    down.push({ daemon: agent, unseen: "pods, addresses, interfaces and routes were" });
  }
  if (isError(datapath)) {
    findings.push(connected ? elsewhere(dataplane) : notListening(dataplane, datapath.error));
    const unseen = connected ? "the mode of its socket was" : "programs, maps and pins were";
    down.push({ daemon: dataplane, unseen });
  } else if (!isError(node) && !connected) findings.push(notConnected(dataplane));
  const answers = [node, datapath].flatMap((answer) => isError(answer) ? [] : [answer]);
  return {
    findings: [...findings, ...answers.flatMap((answer) => answer.findings), ...local],
    facts: Object.assign({}, ...answers.map(factsOf)),
    down,
  };
}

async function askAgent(options: DoctorOptions): Promise<InspectNodeResponse> {
  using agent = agentExt(options);
  return await agent.inspectNode({ repair: options.fix }, { timeoutMs: TIMEOUT_MS });
}

async function askDataplane({ dataplaneSocket, fix }: DoctorOptions): Promise<Inspected> {
  using dataplane = createRpcClient(DataplaneExt, { socketPath: dataplaneSocket });
  return await dataplane.inspectDatapath({ repair: fix }, { timeoutMs: TIMEOUT_MS });
}

/** Whether it is there: the agent has asked the rest. */
async function greetDataplane({ dataplaneSocket }: DoctorOptions): Promise<Inspected> {
  using dataplane = createRpcClient(DataplaneControl, { socketPath: dataplaneSocket });
  await dataplane.getDataplaneStatus({}, { timeoutMs: GREETING_TIMEOUT_MS });
  return { findings: [], facts: [] };
}

/** A daemon that is down is a finding. @throws {CliError} when it answered otherwise than it should */
async function ask<T>(daemon: Daemon, call: () => Promise<T>): Promise<Answer<T>> {
  try {
    return await call();
  } catch (thrown) {
    const error = daemonError(daemon, thrown);
    if (error.exitCode !== ExitCode.UNREACHABLE) throw error;
    return { error };
  }
}

function isError(answer: object): answer is { readonly error: CliError } {
  return "error" in answer;
}

function notListening(daemon: Daemon, error: CliError): Finding {
  const remedy = `start it: systemctl start ${daemon.name}; or say where it is: ${daemon.flag}`;
  return daemonFault(daemon, whyUnreachable(error), remedy);
}

function elsewhere(dataplane: Daemon): Finding {
  const found = "no answer there; the agent is connected to one elsewhere";
  const remedy = `say where it is: ${dataplane.flag}, as the agent's dataplane_socket`;
  return daemonFault(dataplane, found, remedy);
}

function notConnected(dataplane: Daemon): Finding {
  const found = "it answers, but the agent is not connected to it";
  return daemonFault(dataplane, found, "compare the agent's dataplane_socket with this one");
}

function daemonFault({ name, socketPath }: Daemon, found: string, remedy: string): Finding {
  const expected = `answers on ${socketPath}`;
  return { ...NO_REPAIR, kind: "daemon", object: name, expected, found, remedy };
}

function factsOf({ facts }: Inspected): Facts {
  return Object.fromEntries(facts.map(({ name, value }) => [name, value]));
}
