import { invalidArgument, RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import type { PodRegistry } from "../pods/registry.ts";
import type { Attachment } from "../state/mod.ts";

/** Of a pod whose sandbox was made anew while the old one is still there, the new one's. */
export function firstInterface(attachments: readonly Attachment[]): Attachment | undefined {
  const ready = attachments.filter(({ state }) => state === "ready");
  const newest = ready.at(-1)?.containerId;
  return ready.find(({ containerId }) => containerId === newest);
}

/**
 * A pod of this node that works.
 * @param field the request's field that names it, for the error
 * @throws {RpcError} NOT_FOUND; FAILED_PRECONDITION while it is being added or deleted
 */
export function readyPod(
  registry: PodRegistry,
  field: string,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Attachment {
  const all = registry.byPod(namespace, name);
  const ready = firstInterface(all);
  if (ready !== undefined) return ready;
  const what = `${field} "${namespace}/${name}"`;
  const state = all.at(-1)?.state;
  throw state === undefined
    ? new RpcError(RpcCode.NOT_FOUND, `${what}: there is no such pod on this node`)
    : new RpcError(RpcCode.FAILED_PRECONDITION, `${what}: the pod is ${state}, not ready`);
}

const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/**
 * A pod's name as people write it: NAMESPACE/NAME, or NAME in the namespace "default".
 * @throws {RpcError} INVALID_ARGUMENT that names field and text
 */
export function parsePodRef(field: string, text: string): { namespace: string; name: string } {
  const parts = text.split("/");
  const [namespace, name] = parts.length === 1 ? ["default", text] : parts;
  if (parts.length > 2 || !NAME.test(namespace ?? "") || !NAME.test(name ?? "")) {
    throw invalidArgument(field, text, "must be NAME, NAMESPACE/NAME or an IPv4 address");
  }
  return { namespace: namespace ?? "", name: name ?? "" };
}
