import { createHash } from "node:crypto";
import type { AttachmentKey } from "../state/mod.ts";

/** Beginning of every host interface's name. */
export const HOST_IF_PREFIX = "nv";
/** Least length of a container id: its first characters name the host interface. */
export const MIN_CONTAINER_ID_LENGTH = 11;

/**
 * The host interface's names in the order of preference: `nv` and the beginning of the container id,
 * and for a collision `nv` and 11 hexadecimal digits of a SHA-256 of container id and interface name
 * (wire/novanet.md section 10). Both have 13 bytes; Linux allows 15.
 */
export function hostIfNames(key: AttachmentKey): readonly [preferred: string, hashed: string] {
  const hash = createHash("sha256").update(`${key.containerId}/${key.ifName}`).digest("hex");
  return [
    HOST_IF_PREFIX + key.containerId.slice(0, MIN_CONTAINER_ID_LENGTH),
    HOST_IF_PREFIX + hash.slice(0, MIN_CONTAINER_ID_LENGTH),
  ];
}
