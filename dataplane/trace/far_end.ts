/** Who is at the other end of a packet, as find_ends and identify_sender of bpf/lib/verdict.h find it. */

import { TraceStage } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason, ReservedIdentity } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { PodIface } from "../maps/pod_ifaces.ts";
import * as describe from "./describe.ts";
import type { KernelView } from "./kernel_view.ts";
import type { Trail } from "./trail.ts";

/** Where a packet at a pod's ingress hook came from: the host's own stack, a pod's interface, or another one. */
export type Sender =
  | { readonly kind: "host" | "outside" }
  | { readonly kind: "pod"; readonly iface: PodIface };

/** The other end. */
export interface FarEnd {
  /** 0: nobody may be there. */
  readonly identity: number;
  /** Host veth of a pod on this node, else 0. */
  readonly ifindex: number;
}

/** Who is at an address, as ENDPOINTS says. @throws SysError */
export function farEnd(trail: Trail, ip: number): FarEnd {
  const endpoint = trail.view.endpoint(ip);
  const who = describe.ipText(ip);
  const entry = { map: "ENDPOINTS", key: who, value: "" };
  if (endpoint !== undefined) {
    const { identity, ifindex } = endpoint;
    const text = `${who} is ${placeText(endpoint)}: identity ${describe.identityText(identity)}`;
    trail.add(TraceStage.FAR_END, text, { ...entry, value: describe.endpointText(endpoint) });
    return { identity, ifindex };
  }
  if (trail.view.state.podCidrMask !== 0 && isPodAddress(trail.view, ip)) {
    trail.add(TraceStage.FAR_END, `${who} is of the pods' range, and no pod has it`, entry);
    return { identity: ReservedIdentity.ANY, ifindex: 0 };
  }
  const identity = ReservedIdentity.WORLD;
  const text = `${who} is no endpoint: identity ${describe.identityText(identity)}`;
  trail.add(TraceStage.FAR_END, text, entry);
  return { identity, ifindex: 0 };
}

/** To whom a pod sends a packet that opens a flow. @throws Dropped, SysError */
export function findDestination(trail: Trail): FarEnd {
  const { srcIp, dstIp } = trail.packet;
  const to = describe.ipText(dstIp);
  if (isMulticast(dstIp)) {
    const why = `${to} is a multicast or broadcast address`;
    trail.drop(TraceStage.FAR_END, why, DropReason.MULTICAST);
  }
  if (isSpecial(dstIp)) {
    const why = `${to} is an address that no pod may send to`;
    trail.drop(TraceStage.FAR_END, why, DropReason.INVALID_DESTINATION);
  }
  if (dstIp === srcIp) {
    const why = "a pod reaches itself inside its own network namespace, never by its interface";
    trail.drop(TraceStage.FAR_END, why, DropReason.INVALID_DESTINATION);
  }
  const far = farEnd(trail, dstIp);
  if (far.identity !== ReservedIdentity.ANY) return far;
  return trail.drop(TraceStage.FAR_END, `nobody has ${to}`, DropReason.NO_ROUTE);
}

/** Who sent a packet that reaches a pod's ingress hook. @returns the identity @throws Dropped, SysError */
export function identifySender(trail: Trail, sender: Sender): number {
  if (sender.kind === "host") {
    const identity = ReservedIdentity.HOST;
    const text = `sent by this node itself: identity ${describe.identityText(identity)}`;
    trail.add(TraceStage.FAR_END, text);
    return identity;
  }
  if (sender.kind === "pod") {
    const { identity, ifindex } = sender.iface;
    const text = `came by the interface of the pod with ifindex ${ifindex}: identity ${identity}`;
    trail.add(TraceStage.FAR_END, text);
    return identity === 0 ? noIdentity(trail, "that pod has no identity") : identity;
  }
  const { identity, ifindex } = farEnd(trail, trail.packet.srcIp);
  if (identity === 0) noIdentity(trail, "nobody may send from that address");
  if (ifindex !== 0) {
    const why = "a pod's address, but it does not come from that pod";
    trail.drop(TraceStage.FAR_END, why, DropReason.SPOOFED_SOURCE_IP);
  }
  // What was forwarded under an address of this host is not the host.
  return identity === ReservedIdentity.HOST ? ReservedIdentity.WORLD : identity;
}

/** Ends a walk: an end has no identity. @throws Dropped */
export function noIdentity(trail: Trail, why: string): never {
  return trail.drop(TraceStage.FAR_END, why, DropReason.NO_IDENTITY);
}

/** Inside the pods' range of this node, or anywhere while that is not known. */
export function isPodAddress({ state }: KernelView, ip: number): boolean {
  return ((ip & state.podCidrMask) >>> 0) === state.podCidrIp;
}

function placeText({ identity, ifindex }: FarEnd): string {
  if (ifindex !== 0) return `a pod of this node, behind ifindex ${ifindex}`;
  return identity === ReservedIdentity.HOST ? "an address of this node" : "an endpoint elsewhere";
}

function isMulticast(ip: number): boolean {
  return ip >>> 28 === 0xe || ip === 0xffffffff;
}

function isSpecial(ip: number): boolean {
  const first = ip >>> 24;
  return first === 0 || first === 127 || first >= 224;
}
