import { DropReason, EgressAction, PolicyAction } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { FlowEventType, PolicyDirection } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../shared/net/ipv4.ts";
import type { Color } from "./output.ts";

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [0, "*"],
  [1, "ICMP"],
  [6, "TCP"],
  [17, "UDP"],
  [132, "SCTP"],
]);

/** In the order of the header's bits, lowest first. */
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/** @returns the name of a protocol number, `*` for 0 (any), the number for those without a name here. */
export function protocolLabel(protocol: number): string {
  return PROTOCOLS.get(protocol) ?? String(protocol);
}

/** @returns ALLOW, DENY, AUDIT (it passed, and enforced it would not have) or UNKNOWN. */
export function verdictLabel(action: PolicyAction): string {
  return PolicyAction[action] ?? "UNKNOWN";
}

/** @returns the color of a verdict. */
export function verdictColor(action: PolicyAction): Color {
  if (action === PolicyAction.ALLOW) return "green";
  return action === PolicyAction.AUDIT ? "yellow" : "red";
}

/** @returns ALLOW, DENY, SNAT or UNKNOWN. */
export function egressActionLabel(action: EgressAction): string {
  return EgressAction[action] ?? "UNKNOWN";
}

/** @returns the name of a drop reason, `-` for none, UNKNOWN(n) for one this version does not know. */
export function dropReasonLabel(reason: number): string {
  if (reason === DropReason.NONE) return "-";
  return DropReason[reason] ?? `UNKNOWN(${reason})`;
}

/** @returns INGRESS or EGRESS, `-` for neither. */
export function directionLabel(direction: PolicyDirection): string {
  return direction === PolicyDirection.BOTH ? "-" : PolicyDirection[direction] ?? "-";
}

/** @returns NEW, UPDATE, END or DROP, `-` when not told. */
export function eventTypeLabel(type: FlowEventType): string {
  return type === FlowEventType.UNSPECIFIED ? "-" : FlowEventType[type] ?? "-";
}

/** @returns such as `SYN,ACK`, `-` for none. */
export function tcpFlagsLabel(flags: number): string {
  return TCP_FLAGS.filter((_, bit) => flags >> bit & 1).join(",") || "-";
}

/** @returns `namespace/name`, `-` without a name. */
export function podLabel(namespace: string, name: string): string {
  return name === "" ? "-" : `${namespace}/${name}`;
}

/** @returns `key=value` pairs in order of their keys, `-` for none. */
export function labelsLabel(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels).sort().map((key) => `${key}=${labels[key]}`).join(",") || "-";
}

/**
 * Ports of a policy entry.
 *
 * @param prefixLen 0: `port` is exact, or any when it is 0; 1 to 16: so many leading bits count.
 * @returns `*`, one port, or a range such as `8080-8087`.
 */
export function portLabel(port: number, prefixLen: number): string {
  if (prefixLen === 0 || prefixLen === 16) {
    return port === 0 && prefixLen === 0 ? "*" : String(port);
  }
  return `${port}-${port + (1 << 16 - prefixLen) - 1}`;
}

/** @returns dotted decimal of an address as novanet.v1 carries it. */
export function addressLabel(ip: number): string {
  return Ipv4.fromU32(ip).toString();
}

/** @returns text, `-` for none. */
export function orDash(text: string): string {
  return text === "" ? "-" : text;
}
