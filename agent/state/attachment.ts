import type { Ipv4, Mac } from "../../shared/net/mod.ts";
import type { Labels } from "../identity/mod.ts";

/** What names an attachment in CNI: one interface of one container. */
export interface AttachmentKey {
  readonly containerId: string;
  readonly ifName: string;
}

/** One interface of one pod, as the database has it. */
export interface Attachment extends AttachmentKey {
  readonly podNamespace: string;
  readonly podName: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** What netnsIdentity says of it: a path can come to mean another namespace. */
  readonly netnsId: string;
  readonly ip: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  /** Prefix length of the pod CIDR. */
  readonly prefixLen: number;
  /** In bytes. */
  readonly mtu: number;
  readonly hostIfName: string;
  /** 0 until the interface exists. */
  readonly hostIfindex: number;
  /** Labels that AddPod gave. */
  readonly labels: Labels;
  /** The label set of the identity; its key is labelKey of it. */
  readonly identityLabels: Labels;
  /** `adding` until all is in place, `deleting` from the first step of the way back. */
  readonly state: "adding" | "ready" | "deleting";
  /** Unix, milliseconds. */
  readonly createdUnixMs: number;
}

/** Ends the container id of a pod that was taken over from the kernel; no runtime's id has it. */
const ADOPTED_MARK = "*";

/** Whether the pod was taken over from the kernel: of its container id only the beginning is known, if at all. */
export function isAdopted({ containerId }: AttachmentKey): boolean {
  return containerId.endsWith(ADOPTED_MARK);
}

/** The container id of a pod that is taken over. @param known what its host interface's name says of it */
export function adoptedContainerId(known: string): string {
  return known + ADOPTED_MARK;
}

/** One text for a key, for maps and for identity holders. */
export function attachmentId(key: AttachmentKey): string {
  return `${key.containerId}/${key.ifName}`;
}
