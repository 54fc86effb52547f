import { ConfigKey } from "../gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../net/ipv4.ts";

const ADDRESSES: ReadonlySet<number> = new Set([
  ConfigKey.NODE_IP,
  ConfigKey.CLUSTER_CIDR_IP,
  ConfigKey.POD_CIDR_IP,
  ConfigKey.SNAT_IP,
]);
const MOST_OF_AN_ADDRESS = 0xffff_ffffn;

/** A configuration value as people read it: an address as such. */
export function configText(key: number, value: bigint | undefined): string {
  if (value === undefined) return "not set";
  const isAddress = ADDRESSES.has(key) && value <= MOST_OF_AN_ADDRESS;
  return isAddress ? `${Ipv4.fromU32(Number(value))}` : String(value);
}
