/** IP protocol numbers that NovaNet names (IANA, "Assigned Internet Protocol Numbers"). */
export const IpProtocol = {
  ICMP: 1,
  IGMP: 2,
  IPIP: 4,
  TCP: 6,
  UDP: 17,
  DCCP: 33,
  IPV6: 41,
  GRE: 47,
  ESP: 50,
  AH: 51,
  ICMPV6: 58,
  OSPF: 89,
  PIM: 103,
  VRRP: 112,
  SCTP: 132,
  UDPLITE: 136,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(IpProtocol).map(([name, number]) => [number, name]),
);

/** @returns the protocol's name in capitals, as Kubernetes writes it, or its number in decimal. */
export function ipProtocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** Whether packets of a protocol have ports, as far as the datapath reads them. */
export function hasPorts(protocol: number): boolean {
  return protocol === IpProtocol.TCP || protocol === IpProtocol.UDP || protocol === IpProtocol.SCTP;
}

/** @returns the number of a protocol given by name, in any case, or by number 0 to 255; else undefined. */
export function ipProtocolNumber(text: string): number | undefined {
  if (/^[0-9]{1,3}$/.test(text)) {
    const number = Number(text);
    return number <= 255 ? number : undefined;
  }
  const name = text.toUpperCase();
  return Object.entries(IpProtocol).find(([known]) => known === name)?.[1];
}
