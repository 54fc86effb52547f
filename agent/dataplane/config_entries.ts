import { ConfigKey, ConfigMode, ConfigTunnelType } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { AgentConfig, ConfigKey as AgentKey } from "../config/mod.ts";

/** Time-outs that go to the dataplane when the configuration has them, in seconds. */
const TIMEOUTS = [
  ["conntrack.tcp_syn_seconds", ConfigKey.CT_TIMEOUT_TCP_SYN_S],
  ["conntrack.tcp_established_seconds", ConfigKey.CT_TIMEOUT_TCP_ESTABLISHED_S],
  ["conntrack.tcp_closing_seconds", ConfigKey.CT_TIMEOUT_TCP_CLOSING_S],
  ["conntrack.udp_new_seconds", ConfigKey.CT_TIMEOUT_UDP_NEW_S],
  ["conntrack.udp_stream_seconds", ConfigKey.CT_TIMEOUT_UDP_STREAM_S],
  ["conntrack.sctp_seconds", ConfigKey.CT_TIMEOUT_SCTP_S],
  ["conntrack.icmp_seconds", ConfigKey.CT_TIMEOUT_ICMP_S],
  ["conntrack.other_seconds", ConfigKey.CT_TIMEOUT_OTHER_S],
  ["conntrack.fragment_seconds", ConfigKey.FRAGMENT_TIMEOUT_S],
] as const satisfies readonly (readonly [AgentKey, ConfigKey])[];

/** The dataplane's configuration as UpdateConfig takes it. */
export function configEntries(
  { values, nodeIp, podCidr }: AgentConfig,
  tunnelProtocol: "geneve" | "vxlan",
): Record<number, bigint> {
  const tunnel = tunnelProtocol === "geneve"
    ? ConfigTunnelType.CONFIG_TUNNEL_GENEVE
    : ConfigTunnelType.CONFIG_TUNNEL_VXLAN;
  const numbers: Record<number, number> = {
    [ConfigKey.MODE]: ConfigMode.OVERLAY,
    [ConfigKey.TUNNEL_TYPE]: tunnel,
    [ConfigKey.NODE_IP]: nodeIp.value,
    [ConfigKey.CLUSTER_CIDR_IP]: values.cluster_cidr.address.value,
    [ConfigKey.CLUSTER_CIDR_PL]: values.cluster_cidr.prefixLen,
    [ConfigKey.DEFAULT_DENY]: values["policy.default_deny"] ? 1 : 0,
    [ConfigKey.POD_CIDR_IP]: podCidr.address.value,
    [ConfigKey.POD_CIDR_PL]: podCidr.prefixLen,
  };
  for (const [key, number] of TIMEOUTS) {
    const seconds = values[key];
    if (seconds !== undefined) numbers[number] = seconds;
  }
  return Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, BigInt(value)]));
}
