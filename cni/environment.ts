import { type CniArgs, parseCniArgs } from "./cni_args.ts";
import { CniCode, CniError } from "./errors.ts";

/** The operations of the specification. */
export const COMMANDS = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"] as const;

/** One of {@link COMMANDS}. */
export type CniCommand = typeof COMMANDS[number];

/** Reads one environment variable; `undefined` when it is not set. */
export type GetEnv = (name: string) => string | undefined;

/** Whom an ADD, DEL or CHECK is about. */
export interface Attachment {
  readonly containerId: string;
  /** Interface in the pod. */
  readonly ifName: string;
  /** Path of the network namespace; empty in a DEL after the namespace has gone. */
  readonly netns: string;
  readonly args: CniArgs;
}

const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** A container id is part of a file name in the spool. */
const MAX_CONTAINER_ID_LENGTH = 200;
/** The host's interface is named after so many of its characters; the agent adds none that is shorter. */
const MIN_ADDED_CONTAINER_ID_LENGTH = 11;
/** IFNAMSIZ with its terminating zero. */
const MAX_IF_NAME_BYTES = 15;

/** @throws {CniError} code 4 when CNI_COMMAND is missing or unknown. */
export function decodeCommand(getEnv: GetEnv): CniCommand {
  const text = getEnv("CNI_COMMAND") ?? "";
  const command = COMMANDS.find((known) => known === text);
  if (command !== undefined) return command;
  if (text === "") {
    const details = "A container runtime sets it. By hand: novanet-cni --help.";
    throw new CniError(CniCode.INVALID_ENVIRONMENT, "CNI_COMMAND is not set", details);
  }
  const why = `unknown CNI_COMMAND ${JSON.stringify(text)}`;
  throw new CniError(CniCode.INVALID_ENVIRONMENT, why, `known: ${COMMANDS.join(", ")}`);
}

/**
 * Decodes what ADD, DEL and CHECK are about.
 *
 * @throws {CniError} code 4 that names each variable that is missing or wrong.
 */
export function decodeAttachment(command: CniCommand, getEnv: GetEnv): Attachment {
  const containerId = getEnv("CNI_CONTAINERID") ?? "";
  const ifName = getEnv("CNI_IFNAME") ?? "";
  const netns = getEnv("CNI_NETNS") ?? "";
  const faults = [containerIdFault(containerId), ifNameFault(ifName)];
  if (command === "ADD") faults.push(shortContainerIdFault(containerId));
  if (command !== "DEL") faults.push(netns === "" ? "CNI_NETNS is not set" : undefined);
  const found = faults.filter((fault) => fault !== undefined);
  if (found.length > 0) throw new CniError(CniCode.INVALID_ENVIRONMENT, found.join("; "));
  const args = parseCniArgs(getEnv("CNI_ARGS") ?? "", command !== "DEL");
  return { containerId, ifName, netns, args };
}

/** @returns why a container id is none, `undefined` when it is one. */
export function containerIdFault(text: string): string | undefined {
  if (text === "") return "CNI_CONTAINERID is not set";
  if (text.length > MAX_CONTAINER_ID_LENGTH) {
    return `CNI_CONTAINERID is longer than ${MAX_CONTAINER_ID_LENGTH} characters`;
  }
  if (CONTAINER_ID.test(text)) return undefined;
  return `CNI_CONTAINERID ${JSON.stringify(text)} must start with a letter or digit ` +
    "and hold only letters, digits, '_', '.' and '-'";
}

function shortContainerIdFault(text: string): string | undefined {
  if (text === "" || text.length >= MIN_ADDED_CONTAINER_ID_LENGTH) return undefined;
  return `CNI_CONTAINERID ${JSON.stringify(text)} is shorter than ` +
    `${MIN_ADDED_CONTAINER_ID_LENGTH} characters; the name of the pod's interface on the host is made of it`;
}

/** @returns why a name is no name of an interface (dev_valid_name in net/core/dev.c), `undefined` when it is one. */
export function ifNameFault(text: string): string | undefined {
  if (text === "") return "CNI_IFNAME is not set";
  const quoted = JSON.stringify(text);
  if (text === "." || text === "..") return `CNI_IFNAME ${quoted} is not allowed`;
  if (/[/:\s\0]/.test(text)) return `CNI_IFNAME ${quoted} has '/', ':' or white space`;
  if (new TextEncoder().encode(text).length > MAX_IF_NAME_BYTES) {
    return `CNI_IFNAME ${quoted} is longer than ${MAX_IF_NAME_BYTES} bytes`;
  }
  return undefined;
}
