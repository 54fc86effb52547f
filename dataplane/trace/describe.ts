/** Keys and values of the datapath's maps as people read them. Pure. */

import {
  type ConntrackEntry,
  type ConntrackKey,
  ConntrackState,
  type EndpointValue,
  type PodIfaceValue,
  type PolicyKey,
  PolicyKind,
} from "../../shared/gen/abi.ts";
import { PolicyAction, PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ipProtocolName } from "../../shared/net/ip_protocol.ts";
import { Cidr, Ipv4, Mac } from "../../shared/net/mod.ts";

/** An address as text. */
export function ipText(ip: number): string {
  return Ipv4.fromU32(ip).toString();
}

/** The CIDR of a length that holds an address. */
export function cidrText(ip: number, prefixLen: number): string {
  const mask = prefixLen === 0 ? 0 : 0xffffffff << (32 - prefixLen);
  return Cidr.of(Ipv4.fromU32((ip & mask) >>> 0), prefixLen).toString();
}

/** An identity with the meaning of those that are reserved. */
export function identityText(identity: number): string {
  switch (identity) {
    case 0:
      return "any";
    case 1:
      return "1 (node)";
    case 2:
      return "2 (world)";
    default:
      return String(identity);
  }
}

/** A key of CONNTRACK. */
export function connectionKeyText({ ipA, portA, ipB, portB, protocol }: ConntrackKey): string {
  const ends = `${ipText(ipA)}:${portA} ${ipText(ipB)}:${portB}`;
  return `${ipProtocolName(protocol)} ${ends}`;
}

/** A connection's state in words. */
export function connectionState(state: number): string {
  const name = Object.entries(ConntrackState).find(([, number]) => number === state)?.[0];
  return name?.replace("CONNTRACK_", "").toLowerCase().replaceAll("_", " ") ?? String(state);
}

/** A value of CONNTRACK. */
export function connectionText(value: ConntrackEntry): string {
  const { generation, ifindex, identity, ruleId, state } = value;
  return [
    `state=${connectionState(state).replaceAll(" ", "-")}`,
    `generation=${generation}`,
    `ifindex=${ifindex.join(",")}`,
    `identity=${identity.join(",")}`,
    `rule_id=${ruleId.join(",")}`,
  ].join(" ");
}

/** A value of ENDPOINTS. */
export function endpointText({ identity, ifindex, mac, nodeIp }: EndpointValue): string {
  const place = ifindex === 0 ? "" : ` ifindex=${ifindex} mac=${macText(mac)}`;
  return `identity=${identity}${place} node_ip=${ipText(nodeIp)}`;
}

/** A value of POD_IFACES. */
export function ifaceText({ ip, identity, mac }: PodIfaceValue): string {
  return `ip=${ipText(ip)} identity=${identity} mac=${macText(mac)}`;
}

/** A key of POLICIES. */
export function policyKeyText(key: PolicyKey): string {
  const direction = PolicyDirection[key.direction]?.toLowerCase() ?? String(key.direction);
  const ends = `src=${identityText(key.srcIdentity)} dst=${identityText(key.dstIdentity)}`;
  if (key.kind === PolicyKind.POLICY_KIND_ISOLATION) return `isolation ${direction} ${ends}`;
  const protocol = key.protocol === 0 ? "any" : ipProtocolName(key.protocol);
  return `rule ${direction} ${ends} protocol=${protocol} port=${portsText(key)}`;
}

/** A value of POLICIES. */
export function decisionText(action: number, ruleId: number): string {
  return `action=${PolicyAction[action] ?? action} rule_id=${ruleId}`;
}

function portsText({ dstPort, prefixLen }: PolicyKey): string {
  if (prefixLen === 0) return "any";
  return prefixLen === 16 ? String(dstPort) : `${dstPort}-${dstPort + 2 ** (16 - prefixLen) - 1}`;
}

function macText(bytes: Uint8Array): string {
  return Mac.fromBytes(bytes).toString();
}
