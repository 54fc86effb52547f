import type { AddPodRequest, DelPodRequest } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { Ipv4, NetParseError } from "../../shared/net/mod.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { netnsIdentity } from "../../shared/netns/mod.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { Labels } from "../identity/mod.ts";
import type { AttachmentKey } from "../state/mod.ts";
import { MIN_CONTAINER_ID_LENGTH } from "./names.ts";

/** An AddPodRequest, checked. */
export interface AddPodSpec extends AttachmentKey {
  readonly podNamespace: string;
  readonly podName: string;
  readonly netns: string;
  readonly netnsId: string;
  readonly labels: Labels;
  readonly requestedIp: Ipv4 | undefined;
  /** The datapath may come by a clsact filter, and move to TCX later. */
  readonly quickAttach: boolean;
}

/** As the CNI specification has container ids. */
const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MAX_IF_NAME_BYTES = 15;

/** @throws {RpcError} INVALID_ARGUMENT that names the field and its value */
export function parseAddPod(request: AddPodRequest): AddPodSpec {
  checkGiven("pod_name", request.podName);
  checkGiven("pod_namespace", request.podNamespace);
  checkContainerId(request.containerId);
  if (request.containerId.length < MIN_CONTAINER_ID_LENGTH) {
    const why = `must have at least ${MIN_CONTAINER_ID_LENGTH} characters`;
    throw invalidArgument("container_id", request.containerId, why);
  }
  checkIfName(request.ifName);
  checkGiven("netns", request.netns);
  return {
    containerId: request.containerId,
    ifName: request.ifName,
    podNamespace: request.podNamespace,
    podName: request.podName,
    netns: request.netns,
    netnsId: findNetns(request.netns),
    labels: request.labels,
    requestedIp: parseRequestedIps(request.requestedIps),
    quickAttach: request.quickAttach,
  };
}

/**
 * An empty interface name stands for all interfaces of the container.
 * @throws {RpcError} INVALID_ARGUMENT that names the field and its value
 */
export function parseDelPod({ containerId, ifName }: DelPodRequest): AttachmentKey {
  checkGiven("container_id", containerId);
  return { containerId, ifName };
}

/** @throws {RpcError} INVALID_ARGUMENT that names the field and its value */
export function parseAttachmentKey(
  { containerId, ifName }: AttachmentKey,
  prefix = "",
): AttachmentKey {
  checkGiven(`${prefix}container_id`, containerId);
  checkGiven(`${prefix}if_name`, ifName);
  return { containerId, ifName };
}

/** What netnsIdentity says of a namespace; undefined when it is gone. */
export function netnsIdentityIfThere(path: string): string | undefined {
  try {
    return netnsIdentity(path);
  } catch {
    return undefined;
  }
}

function findNetns(path: string): string {
  const [identity, own] = [existing(path), netnsIdentity()];
  if (identity === own) {
    throw invalidArgument("netns", path, "is the network namespace of the node, not of a pod");
  }
  if (deviceOf(identity) !== deviceOf(own)) {
    throw invalidArgument("netns", path, "is no network namespace");
  }
  try {
    RtnetlinkSocket.openIn(path).close();
  } catch (cause) {
    // A namespace of another kind.
    if (!isErrno(cause, "EINVAL")) throw cause;
    throw invalidArgument("netns", path, "is no network namespace");
  }
  return identity;
}

/** All namespaces are on one device; nothing else is. */
function deviceOf(identity: string): string {
  return identity.replace(/:.*/, "");
}

function existing(path: string): string {
  try {
    return netnsIdentity(path);
  } catch (cause) {
    throw invalidArgument("netns", path, cause instanceof Error ? cause.message : String(cause));
  }
}

function checkGiven(field: string, value: string): void {
  if (value === "") throw invalidArgument(field, value, "must not be empty");
}

function checkContainerId(value: string): void {
  checkGiven("container_id", value);
  if (CONTAINER_ID.test(value)) return;
  const why = "must be letters, digits, underscores, dots and dashes";
  throw invalidArgument("container_id", value, why);
}

function checkIfName(value: string): void {
  checkGiven("if_name", value);
  const bytes = new TextEncoder().encode(value).length;
  if (bytes > MAX_IF_NAME_BYTES) {
    throw invalidArgument("if_name", value, `must have at most ${MAX_IF_NAME_BYTES} bytes`);
  }
  if (/[\s/:]/.test(value) || value === "." || value === "..") {
    throw invalidArgument("if_name", value, "must not have spaces, slashes or colons");
  }
}

function parseRequestedIps(ips: readonly string[]): Ipv4 | undefined {
  const [first, ...more] = ips;
  if (first === undefined) return undefined;
  if (more.length > 0) {
    throw invalidArgument("requested_ips", ips.join(","), "a pod has one IPv4 address");
  }
  const [address = ""] = first.split("/");
  try {
    return Ipv4.parse(address);
  } catch (cause) {
    if (!(cause instanceof NetParseError)) throw cause;
    throw invalidArgument("requested_ips", first, cause.why);
  }
}
