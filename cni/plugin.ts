import type { Agent, ConnectAgent } from "./agent.ts";
import { isTrue } from "./cni_args.ts";
import {
  decodeJsonObject,
  decodeNetConf,
  decodeVersion,
  type NetConf,
  parseRequestedIp,
} from "./config.ts";
import {
  type Attachment,
  type CniCommand,
  decodeAttachment,
  decodeCommand,
  type GetEnv,
} from "./environment.ts";
import { CniCode, CniError, encodeError, isAgentDown, toCniError } from "./errors.ts";
import { type JsonObject, member } from "./json.ts";
import { appendLog, type LogFields } from "./log_file.ts";
import { podOf } from "./pod.ts";
import { decodeChain, encodeResult, expectedInterface } from "./result.ts";
import { spoolDel } from "./spool.ts";
import { type CniVersion, NEWEST_VERSION, versionInfo } from "./versions.ts";

/** All that one call of the plugin reads, and the agent it talks to. */
export interface PluginInput {
  readonly getEnv: GetEnv;
  /** Reads stdin to its end. @throws {CniError} */
  readonly readStdin: () => Uint8Array;
  readonly connect: ConnectAgent;
  /** Why an ADD can't be done in a network namespace, `undefined` when it can. */
  readonly netnsFault: (path: string) => string | undefined;
  readonly now: () => Date;
}

/** What the process does with the outcome: print `stdout` and `stderr`, exit with `exitCode`. */
export interface PluginOutput {
  /** 0, or 1 with an error as JSON in `stdout`. */
  readonly exitCode: 0 | 1;
  readonly stdout: string;
  readonly stderr: string;
}

/** One operation under way. */
interface Call {
  readonly conf: NetConf;
  readonly connect: ConnectAgent;
  readonly now: Date;
  /** Fields for the log, to which the operation adds. */
  readonly log: Record<string, string | number>;
}

/**
 * One call of the plugin, from environment and stdin to what is printed. Never throws.
 *
 * Source: CNI specification 1.1.0, section 2.
 */
export async function runPlugin(input: PluginInput): Promise<PluginOutput> {
  let version: CniVersion = NEWEST_VERSION;
  try {
    const command = decodeCommand(input.getEnv);
    if (command === "VERSION") return succeed(answerVersion(input.readStdin()));
    const json = decodeJsonObject(input.readStdin());
    version = decodeVersion(json);
    return await runCommand(command, decodeNetConf(command, version, json), input);
  } catch (thrown) {
    return fail(toCniError(thrown), version);
  }
}

async function runCommand(
  command: CniCommand,
  conf: NetConf,
  input: PluginInput,
): Promise<PluginOutput> {
  const now = input.now();
  const call: Call = { conf, connect: input.connect, now, log: { level: "info", command } };
  let output: PluginOutput;
  try {
    output = succeed(await perform(command, call, input));
  } catch (thrown) {
    const error = toCniError(thrown);
    Object.assign(call.log, { level: "error", code: error.code, error: error.message });
    output = fail(error, conf.version);
  }
  call.log["ms"] = input.now().getTime() - now.getTime();
  const fault = appendLog(conf.logFile, now, call.log as LogFields);
  return fault === undefined ? output : { ...output, stderr: `novanet-cni: ${fault}\n` };
}

/** @returns the JSON to print, `undefined` for the operations that print nothing. */
async function perform(
  command: CniCommand,
  call: Call,
  input: PluginInput,
): Promise<JsonObject | undefined> {
  if (command === "STATUS") return await status(call);
  if (command === "GC") return await collectGarbage(call);
  const attachment = decodeAttachment(command, input.getEnv);
  const pod = podOf(attachment);
  Object.assign(call.log, {
    container_id: attachment.containerId,
    if_name: attachment.ifName,
    netns: attachment.netns,
    pod: `${pod.namespace}/${pod.name}`,
  });
  if (command === "ADD") {
    refuseNetns(input, attachment.netns);
    return await add(call, attachment);
  }
  if (command === "CHECK") return await check(call, attachment);
  return await del(call, attachment);
}

/** CNI_NETNS_OVERRIDE is how a runtime says that it means the node's own namespace. */
function refuseNetns({ getEnv, netnsFault }: PluginInput, netns: string): void {
  if (isTrue(getEnv("CNI_NETNS_OVERRIDE") ?? "")) return;
  const fault = netnsFault(netns);
  if (fault !== undefined) throw new CniError(CniCode.INVALID_ENVIRONMENT, fault);
}

async function add(call: Call, attachment: Attachment): Promise<JsonObject> {
  const { conf } = call;
  const { ifName, netns } = attachment;
  const chain = decodeChain(conf.prevResult, ifName, netns);
  const request = {
    ...attachmentFields(attachment),
    labels: conf.labels,
    requestedIps: requestedIps(conf, attachment),
    quickAttach: conf.quickAttach,
  };
  const agent = await open(call);
  const added = await agent.addPod(request);
  call.log["ip"] = added.ip;
  const { ip, gateway, mac, mtu, hostIfName, hostMac } = added;
  const prefixLen = added.prefixLength;
  const made = { ifName, netns, ip, prefixLen, gateway, mac, mtu, hostIfName, hostMac };
  return encodeResult(conf.version, chain, made, conf.dns);
}

async function check(call: Call, attachment: Attachment): Promise<undefined> {
  const { ifName, netns } = attachment;
  const expected = expectedInterface(call.conf.prevResult, ifName, netns);
  const { containerId, args } = attachment;
  const agent = await open(call);
  await agent.checkPod({
    // Only what the runtime said: a name made up from the container id is nothing to compare with.
    podName: args.podName ?? "",
    podNamespace: args.podNamespace ?? "",
    containerId,
    netns,
    ifName,
    ...expected,
  });
}

/** A DEL must succeed in the end: without the agent it is recorded, and the agent finishes it. */
async function del(call: Call, attachment: Attachment): Promise<undefined> {
  try {
    const agent = await open(call);
    await agent.delPod(attachmentFields(attachment));
  } catch (thrown) {
    if (!isAgentDown(thrown)) throw thrown;
    spoolDel(call.conf.spoolDir, attachment, call.now.getTime());
    Object.assign(call.log, { level: "warn", spooled: call.conf.spoolDir });
  }
}

async function status(call: Call): Promise<undefined> {
  const agent = await open(call);
  const { ready, degraded, reasons } = await agent.readiness().catch((thrown) => {
    const { message, details } = toCniError(thrown);
    throw new CniError(CniCode.NOT_AVAILABLE, message, details, { cause: thrown });
  });
  if (ready && !degraded) return;
  const code = degraded ? CniCode.NOT_AVAILABLE_DEGRADED : CniCode.NOT_AVAILABLE;
  const message = degraded ? "novanet-agent is degraded" : "novanet-agent is not ready";
  throw new CniError(code, message, reasons.join("; "));
}

async function collectGarbage(call: Call): Promise<undefined> {
  const agent = await open(call);
  const valid = call.conf.validAttachments ?? [];
  call.log["removed"] = await agent.collectGarbage(valid);
}

function open(call: Call): Promise<Agent> {
  return call.connect(call.conf.agentSocket);
}

function attachmentFields(attachment: Attachment) {
  const { containerId, netns, ifName } = attachment;
  const pod = podOf(attachment);
  return { podName: pod.name, podNamespace: pod.namespace, containerId, netns, ifName };
}

/** Those of the configuration and the one of CNI_ARGS, each once. */
function requestedIps(conf: NetConf, attachment: Attachment): string[] {
  const ips = conf.requestedIps.map(String);
  const { ip } = attachment.args;
  if (ip !== undefined) {
    ips.push(String(parseRequestedIp(ip, "CNI_ARGS IP", CniCode.INVALID_ENVIRONMENT)));
  }
  return [...new Set(ips)];
}

function answerVersion(stdin: Uint8Array): JsonObject {
  const asked = stdin.length === 0 ? undefined : member(decodeJsonObject(stdin), "cniVersion");
  const { cniVersion, supportedVersions } = versionInfo(
    typeof asked === "string" && asked !== "" ? asked : undefined,
  );
  return { cniVersion, supportedVersions: [...supportedVersions] };
}

function succeed(json: JsonObject | undefined): PluginOutput {
  const stdout = json === undefined ? "" : `${JSON.stringify(json)}\n`;
  return { exitCode: 0, stdout, stderr: "" };
}

function fail(error: CniError, version: CniVersion): PluginOutput {
  return { exitCode: 1, stdout: `${JSON.stringify(encodeError(error, version))}\n`, stderr: "" };
}
