import { Ipv4 } from "../shared/net/ipv4.ts";
import type { CniCommand } from "./environment.ts";
import { CniCode, CniError } from "./errors.ts";
import { flagField, invalidConfig, objectField, textField } from "./fields.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";
import { type CniVersion, isAtLeast, parseVersion } from "./versions.ts";

/** Where the agent serves the plugin, unless the configuration says otherwise. */
export const DEFAULT_AGENT_SOCKET = "/run/novanet/cni.sock";
/** Where DELs wait for an agent that is down, unless the configuration says otherwise. */
export const DEFAULT_SPOOL_DIR = "/var/lib/novanet/spool";

/** An attachment the runtime still knows; GC frees all others. */
export interface ValidAttachment {
  readonly containerId: string;
  readonly ifName: string;
}

/** A network configuration, checked. */
export interface NetConf {
  readonly version: CniVersion;
  readonly name: string;
  /** Path of the agent's socket. */
  readonly agentSocket: string;
  /** Path of the log file, `undefined` for none. */
  readonly logFile: string | undefined;
  /** Folder for DELs that wait. */
  readonly spoolDir: string;
  /** Result of the plugins before this one (ADD) or of the whole ADD (CHECK), as it came. */
  readonly prevResult: JsonObject | undefined;
  /** Addresses asked for by the capability `ips`, and by the convention `args.cni.ips`. */
  readonly requestedIps: readonly Ipv4[];
  /** Labels by the convention `args.cni.labels`. */
  readonly labels: Readonly<Record<string, string>>;
  /** No plugin that follows in the chain puts a clsact or ingress qdisc on the host interface. */
  readonly quickAttach: boolean;
  /** `dns` of the configuration, passed on in the result. */
  readonly dns: JsonObject | undefined;
  /** `cni.dev/valid-attachments`, `undefined` when it is not there. */
  readonly validAttachments: readonly ValidAttachment[] | undefined;
}

const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Keys that the specification defines or libcni adds. */
const STANDARD_KEYS = new Set([
  "cniVersion",
  "cniVersions",
  "name",
  "type",
  "args",
  "capabilities",
  "runtimeConfig",
  "prevResult",
  "dns",
  "ipam",
]);
const OWN_KEYS = new Set(["agentSocket", "logFile", "quickAttach", "spoolDir"]);

/** The version of the specification from which an operation exists. */
const SINCE: Readonly<Record<CniCommand, CniVersion>> = {
  ADD: "0.3.0",
  DEL: "0.3.0",
  VERSION: "0.3.0",
  CHECK: "0.4.0",
  STATUS: "1.1.0",
  GC: "1.1.0",
};

/**
 * Decodes JSON that must be an object.
 *
 * @throws {CniError} code 6.
 */
export function decodeJsonObject(bytes: Uint8Array): JsonObject {
  const what = "the network configuration on stdin";
  let value: Json;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = bytes.length === 0 ? "it is empty" : cause instanceof Error ? cause.message : "";
    throw new CniError(CniCode.DECODING_FAILURE, `cannot decode ${what}: ${why}`, "", { cause });
  }
  if (isObject(value)) return value;
  throw new CniError(CniCode.DECODING_FAILURE, `cannot decode ${what}: it is not a JSON object`);
}

/**
 * The version a configuration is written in, which all answers repeat.
 *
 * @throws {CniError} code 1, or 6 for what is no version.
 */
export function decodeVersion(json: JsonObject): CniVersion {
  const version = member(json, "cniVersion");
  if (version === undefined || version === "") {
    const details = "A configuration without cniVersion means 0.1.0.";
    throw new CniError(CniCode.INCOMPATIBLE_VERSION, "cniVersion is missing", details);
  }
  if (typeof version === "string") return parseVersion(version);
  throw new CniError(
    CniCode.DECODING_FAILURE,
    `cniVersion ${JSON.stringify(version)} is not a string`,
  );
}

/**
 * Decodes a configuration for one operation. DEL takes as little of it as it needs, so that what an
 * ADD refused does not keep the runtime from removing the pod.
 *
 * @throws {CniError} code 1, 2 or 7 that names key and value.
 */
export function decodeNetConf(
  command: CniCommand,
  version: CniVersion,
  json: JsonObject,
): NetConf {
  if (!isAtLeast(version, SINCE[command])) {
    const why = `${command} does not exist in cniVersion ${version}`;
    throw new CniError(CniCode.INCOMPATIBLE_VERSION, why, `It needs ${SINCE[command]} or newer.`);
  }
  const deleting = command === "DEL";
  if (!deleting) refuseUnsupported(json);
  return {
    version,
    name: decodeName(json),
    agentSocket: textField(json, "agentSocket") ?? DEFAULT_AGENT_SOCKET,
    logFile: textField(json, "logFile"),
    spoolDir: textField(json, "spoolDir") ?? DEFAULT_SPOOL_DIR,
    prevResult: deleting ? undefined : objectField(json, "prevResult"),
    requestedIps: deleting ? [] : decodeRequestedIps(json),
    labels: deleting ? {} : decodeLabels(json),
    quickAttach: !deleting && flagField(json, "quickAttach"),
    dns: deleting ? undefined : objectField(json, "dns"),
    validAttachments: command === "GC" ? decodeValidAttachments(json) : undefined,
  };
}

/**
 * An address as the capability `ips` and CNI_ARGS give it: with or without a prefix length, which says
 * nothing here, since the pod's prefix is that of its subnet.
 *
 * @throws {CniError} with `code`.
 */
export function parseRequestedIp(text: string, field: string, code: CniCode): Ipv4 {
  const match = /^([^/]*)(?:\/([0-9]{1,2}))?$/.exec(text);
  if (text.includes(":")) {
    throw new CniError(code, `${field} ${JSON.stringify(text)}: IPv6 is not supported`);
  }
  try {
    if (match === null || Number(match[2] ?? 0) > 32) throw new Error("not an IPv4 address");
    return Ipv4.parse(match[1] ?? "");
  } catch (cause) {
    const why = `${field} ${JSON.stringify(text)} is not an IPv4 address`;
    throw new CniError(code, why, "", { cause });
  }
}

function refuseUnsupported(json: JsonObject): void {
  for (const [key, value] of Object.entries(json)) {
    const known = STANDARD_KEYS.has(key) || OWN_KEYS.has(key) || key.startsWith("cni.dev/");
    if (!known) throw unsupported(key, value, "unknown key");
  }
  const ipam = objectField(json, "ipam");
  const type = ipam === undefined ? undefined : member(ipam, "type");
  if (type !== undefined && type !== "") {
    throw unsupported("ipam.type", type, "the agent gives the addresses; leave ipam out");
  }
}

function decodeName(json: JsonObject): string {
  const name = textField(json, "name");
  if (name === undefined) throw invalidConfig("name is missing");
  if (NETWORK_NAME.test(name)) return name;
  const rule = "must start with a letter or digit and hold only letters, digits, '_', '.' and '-'";
  throw invalidConfig(`name ${JSON.stringify(name)} ${rule}`);
}

/** Both conventions: the capability `ips`, and `ips` of args.cni (CNI CONVENTIONS.md, "args in network config"). */
function decodeRequestedIps(json: JsonObject): Ipv4[] {
  return [
    ...decodeIps(objectField(json, "runtimeConfig"), "runtimeConfig.ips"),
    ...decodeIps(cniArgsOf(json), "args.cni.ips"),
  ];
}

function cniArgsOf(json: JsonObject): JsonObject | undefined {
  return objectField(objectField(json, "args") ?? {}, "cni", "args.cni");
}

function decodeIps(parent: JsonObject | undefined, field: string): Ipv4[] {
  const ips = parent === undefined ? undefined : member(parent, "ips");
  if (ips === undefined || ips === null) return [];
  if (!Array.isArray(ips)) throw invalidConfig(`${field} ${JSON.stringify(ips)} is not a list`);
  return ips.map((ip, index) => {
    if (typeof ip !== "string") {
      throw invalidConfig(`${field}[${index}] ${JSON.stringify(ip)} is not a string`);
    }
    return parseRequestedIp(ip, `${field}[${index}]`, CniCode.INVALID_CONFIG);
  });
}

function decodeLabels(json: JsonObject): Record<string, string> {
  const cni = cniArgsOf(json);
  const list = cni === undefined ? undefined : member(cni, "labels");
  const labels: Record<string, string> = {};
  if (list === undefined || list === null) return labels;
  const field = "args.cni.labels";
  if (!Array.isArray(list)) throw invalidConfig(`${field} ${JSON.stringify(list)} is not a list`);
  for (const [index, label] of list.entries()) {
    const key = isObject(label) ? member(label, "key") : undefined;
    const value = isObject(label) ? member(label, "value") : undefined;
    if (typeof key !== "string" || typeof value !== "string") {
      throw invalidConfig(
        `${field}[${index}] ${JSON.stringify(label)} is not {"key": ..., "value": ...}`,
      );
    }
    labels[key] = value;
  }
  return labels;
}

/** The key's second spelling is what the first drafts of 1.1.0 had; libcni sends both. */
function decodeValidAttachments(json: JsonObject): ValidAttachment[] {
  const field = "cni.dev/valid-attachments";
  const list = member(json, field) ?? member(json, "cni.dev/attachments");
  // Without the list every attachment would be stale: never guess that.
  if (!Array.isArray(list)) {
    throw invalidConfig(
      list === undefined ? `${field} is missing` : `${field} ${JSON.stringify(list)} is not a list`,
    );
  }
  return list.map((entry, index) => {
    const containerId = isObject(entry) ? member(entry, "containerID") : undefined;
    const ifName = isObject(entry) ? member(entry, "ifname") : undefined;
    if (typeof containerId === "string" && typeof ifName === "string") {
      return { containerId, ifName };
    }
    const form = '{"containerID": ..., "ifname": ...}';
    throw invalidConfig(`${field}[${index}] ${JSON.stringify(entry)} is not ${form}`);
  });
}

function unsupported(key: string, value: Json, why: string): CniError {
  const message = `unsupported field ${key} = ${JSON.stringify(value)}: ${why}`;
  return new CniError(CniCode.UNSUPPORTED_FIELD, message);
}
