/** An IPv6 subnet, so far as validation needs it: NovaNet's datapath is IPv4 only for now. */
export interface Ipv6Cidr {
  /** The network's address as 128 bits; host bits are zero. */
  readonly network: bigint;
  /** 0 to 128. */
  readonly prefixLen: number;
}

/** @returns the subnet, or undefined when the text is no IPv6 CIDR. Host bits may be set. */
export function parseIpv6Cidr(text: string): Ipv6Cidr | undefined {
  const [address, length, ...rest] = text.split("/");
  if (address === undefined || length === undefined || rest.length > 0) return undefined;
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > 128) return undefined;
  const value = parseAddress(address);
  if (value === undefined) return undefined;
  const hostBits = BigInt(128 - Number(length));
  return { network: (value >> hostBits) << hostBits, prefixLen: Number(length) };
}

/** @returns whether `inner` is inside `outer` and smaller. */
export function isStrictlyInsideIpv6(inner: Ipv6Cidr, outer: Ipv6Cidr): boolean {
  const hostBits = BigInt(128 - outer.prefixLen);
  return inner.prefixLen > outer.prefixLen &&
    inner.network >> hostBits === outer.network >> hostBits;
}

/** RFC 4291 section 2.2, its form 3 (a dotted IPv4 tail) left out: it is ambiguous in policy. */
function parseAddress(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "");
  const tail = groups(halves[1] ?? "");
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return all.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

function groups(text: string): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  if (parts.some((part) => !/^[0-9a-fA-F]{1,4}$/.test(part))) return undefined;
  return parts.map((part) => Number.parseInt(part, 16));
}
