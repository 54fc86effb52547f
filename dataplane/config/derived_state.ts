/** What the programs read on every packet, worked out of the configuration. Pure. */

import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { network } from "../policy/cidr_set.ts";
import { configNumber, type ConfigValues } from "./config_keys.ts";

/** The members of `struct datapath_state` that follow from the configuration. */
export interface DerivedState {
  readonly flowLevel: number;
  readonly flowIntervalJiffies: number;
  readonly defaultDeny: number;
  readonly podCidrIp: number;
  readonly podCidrMask: number;
  /** By `enum timeout_class`. */
  readonly timeoutSeconds: readonly number[];
}

const TIMEOUT_KEYS: readonly ConfigKey[] = [
  ConfigKey.CT_TIMEOUT_TCP_SYN_S,
  ConfigKey.CT_TIMEOUT_TCP_ESTABLISHED_S,
  ConfigKey.CT_TIMEOUT_TCP_CLOSING_S,
  ConfigKey.CT_TIMEOUT_UDP_NEW_S,
  ConfigKey.CT_TIMEOUT_UDP_STREAM_S,
  ConfigKey.CT_TIMEOUT_SCTP_S,
  ConfigKey.CT_TIMEOUT_ICMP_S,
  ConfigKey.CT_TIMEOUT_OTHER_S,
  ConfigKey.FRAGMENT_TIMEOUT_S,
];

/** Kernels are built with one of these rates. */
const KERNEL_RATES = [100, 250, 300, 1000];

/** @param hz Jiffies per second. */
export function deriveState(config: ConfigValues, hz: number): DerivedState {
  const prefixLen = configNumber(config, ConfigKey.POD_CIDR_PL);
  const intervalMs = configNumber(config, ConfigKey.FLOW_INTERVAL_MS);
  return {
    flowLevel: configNumber(config, ConfigKey.FLOW_LEVEL),
    flowIntervalJiffies: Math.max(1, Math.round(intervalMs * hz / 1000)),
    defaultDeny: configNumber(config, ConfigKey.DEFAULT_DENY),
    podCidrIp: network(configNumber(config, ConfigKey.POD_CIDR_IP), prefixLen),
    podCidrMask: network(0xffff_ffff, prefixLen),
    timeoutSeconds: TIMEOUT_KEYS.map((key) => configNumber(config, key)),
  };
}

/** Two readings of the kernel's clocks. */
export interface ClockReading {
  readonly jiffies: bigint;
  readonly ktimeNs: bigint;
}

/** The rate of jiffies between two readings at least 50 ms apart: the nearest that kernels have. */
export function measureHz(first: ClockReading, second: ClockReading): number {
  const seconds = Number(second.ktimeNs - first.ktimeNs) / 1e9;
  const measured = Number(second.jiffies - first.jiffies) / seconds;
  return KERNEL_RATES.reduce((best, rate) =>
    Math.abs(rate - measured) < Math.abs(best - measured) ? rate : best
  );
}

/** `mode` of GetDataplaneStatus. */
export function modeName(config: ConfigValues): string {
  return nameOf(config.get(ConfigKey.MODE), ["overlay", "native"]);
}

/** `tunnel_protocol` of GetDataplaneStatus. */
export function tunnelProtocolName(config: ConfigValues): string {
  return nameOf(config.get(ConfigKey.TUNNEL_TYPE), ["geneve", "vxlan"]);
}

function nameOf(value: bigint | undefined, names: readonly string[]): string {
  return value === undefined ? "unknown" : names[Number(value)] ?? "unknown";
}
