/** The configuration keys: which values each takes and what holds before it is set. Pure. */

import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";

/** Values by ConfigKey; a key that was never set is not in it. */
export type ConfigValues = ReadonlyMap<number, bigint>;

interface KeyRange {
  readonly least: number;
  readonly most: number;
}

const FLAG: KeyRange = { least: 0, most: 1 };
const ADDRESS: KeyRange = { least: 0, most: 2 ** 32 - 1 };
const PREFIX_LEN: KeyRange = { least: 0, most: 32 };
/** The kernel counts in jiffies, up to 1000 a second, and compares within 31 bits of them. */
const SECONDS: KeyRange = { least: 1, most: 2_000_000 };

const RANGES: ReadonlyMap<number, KeyRange> = new Map<number, KeyRange>([
  [ConfigKey.MODE, FLAG],
  [ConfigKey.TUNNEL_TYPE, FLAG],
  [ConfigKey.NODE_IP, ADDRESS],
  [ConfigKey.CLUSTER_CIDR_IP, ADDRESS],
  [ConfigKey.CLUSTER_CIDR_PL, PREFIX_LEN],
  [ConfigKey.DEFAULT_DENY, FLAG],
  [ConfigKey.MASQUERADE_ENABLE, FLAG],
  [ConfigKey.SNAT_IP, ADDRESS],
  [ConfigKey.POD_CIDR_IP, ADDRESS],
  [ConfigKey.POD_CIDR_PL, PREFIX_LEN],
  [ConfigKey.L4LB_ENABLED, FLAG],
  [ConfigKey.FLOW_LEVEL, { least: 0, most: 3 }],
  [ConfigKey.FLOW_INTERVAL_MS, { least: 100, most: 3_600_000 }],
  [ConfigKey.CT_TIMEOUT_TCP_SYN_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_TCP_ESTABLISHED_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_TCP_CLOSING_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_UDP_NEW_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_UDP_STREAM_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_SCTP_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_ICMP_S, SECONDS],
  [ConfigKey.CT_TIMEOUT_OTHER_S, SECONDS],
  [ConfigKey.FRAGMENT_TIMEOUT_S, SECONDS],
]);

const DEFAULTS: ReadonlyMap<number, number> = new Map<number, number>([
  [ConfigKey.FLOW_LEVEL, 2],
  [ConfigKey.FLOW_INTERVAL_MS, 5000],
  [ConfigKey.CT_TIMEOUT_TCP_SYN_S, 60],
  [ConfigKey.CT_TIMEOUT_TCP_ESTABLISHED_S, 21_600],
  [ConfigKey.CT_TIMEOUT_TCP_CLOSING_S, 15],
  [ConfigKey.CT_TIMEOUT_UDP_NEW_S, 30],
  [ConfigKey.CT_TIMEOUT_UDP_STREAM_S, 180],
  [ConfigKey.CT_TIMEOUT_SCTP_S, 210],
  [ConfigKey.CT_TIMEOUT_ICMP_S, 30],
  [ConfigKey.CT_TIMEOUT_OTHER_S, 60],
  [ConfigKey.FRAGMENT_TIMEOUT_S, 30],
]);

/** Keys that are kept for clients that set them, but that nothing in this version acts on. */
export const INERT_KEYS: ReadonlySet<number> = new Set([
  ConfigKey.MASQUERADE_ENABLE,
  ConfigKey.SNAT_IP,
  ConfigKey.L4LB_ENABLED,
]);

/** The keys that UpdateConfig takes, in ascending order. */
export const CONFIG_KEYS: readonly number[] = [...RANGES.keys()].sort((a, b) => a - b);

/**
 * Checks the entries of a request, all of them before any is used.
 *
 * @throws RpcError INVALID_ARGUMENT naming key and value.
 */
export function parseConfigEntries(
  entries: Readonly<Record<string, bigint>>,
): [key: number, value: bigint][] {
  return Object.entries(entries).map(([text, value]) => {
    const key = Number(text);
    const range = RANGES.get(key);
    if (range === undefined) throw invalidArgument("entries", key, "is no configuration key");
    if (value < BigInt(range.least) || value > BigInt(range.most)) {
      const why = `CONFIG_KEY_${ConfigKey[key]} must be from ${range.least} to ${range.most}`;
      throw invalidArgument(`entries[${key}]`, value, why);
    }
    return [key, value];
  });
}

/** The value of a key that fits a number: what was set, else its default, else 0. */
export function configNumber(values: ConfigValues, key: ConfigKey): number {
  const value = values.get(key);
  return value === undefined ? DEFAULTS.get(key) ?? 0 : Number(value);
}
