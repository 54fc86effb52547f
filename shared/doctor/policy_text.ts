import { PolicyAction, PolicyDirection } from "../gen/novanet/v1/novanet_pb.ts";
import { ipProtocolName } from "../net/ip_protocol.ts";

/** What names a policy entry. */
export interface PolicyKeyText {
  readonly srcIdentity: number;
  readonly dstIdentity: number;
  readonly protocol: number;
  readonly dstPort: number;
  readonly portPrefixLen: number;
  readonly direction: number;
  readonly isolation: boolean;
}

/** A policy entry's key as people read it: `300 -> 301, tcp port 80, ingress`. */
export function policyKeyText(key: PolicyKeyText): string {
  const { srcIdentity, dstIdentity, protocol, dstPort, portPrefixLen, isolation } = key;
  const way = directionText(key.direction);
  if (isolation) return `isolation of ${srcIdentity || dstIdentity}, ${way}`;
  const prefix = portPrefixLen === 0 ? "" : `/${portPrefixLen}`;
  const port = dstPort === 0 ? "any port" : `port ${dstPort}${prefix}`;
  const name = protocol === 0 ? "any protocol" : ipProtocolName(protocol);
  return `${srcIdentity || "*"} -> ${dstIdentity || "*"}, ${name}, ${port}, ${way}`;
}

/** What a policy entry decides, as people read it: `ALLOW by rule 17`. */
export function policyDecisionText(action: number, ruleId: number): string {
  return `${PolicyAction[action] ?? `action ${action}`} by rule ${ruleId}`;
}

/** A PolicyDirection in small letters. */
export function directionText(direction: number): string {
  return (PolicyDirection[direction] ?? String(direction)).toLowerCase();
}
