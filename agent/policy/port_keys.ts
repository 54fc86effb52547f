import { portRangeToPrefixes } from "../../shared/net/mod.ts";

/**
 * A protocol with a port prefix in one number: protocol << 21 | prefix length << 16 | port. It is
 * the part of a policy entry's key that is not an identity, and cheap to compare.
 */
export type PortKey = number;

/** Every protocol, every port. */
export const ALL_PORTS: PortKey = 0;

/** @returns the key of a protocol's ports that share the leading `prefixLen` bits of `port`. */
export function portKey(protocol: number, port: number, prefixLen: number): PortKey {
  return protocol * 2 ** 21 + prefixLen * 2 ** 16 + port;
}

/** @returns the keys that cover a range of ports exactly. */
export function rangeKeys(protocol: number, from: number, to: number): PortKey[] {
  return portRangeToPrefixes(from, to).map(({ port, prefixLen }) =>
    portKey(protocol, port, prefixLen)
  );
}

/** @returns what a key was made of. */
export function unpackPortKey(
  key: PortKey,
): { protocol: number; port: number; prefixLen: number } {
  return { protocol: key >>> 21, prefixLen: (key >>> 16) & 0x1f, port: key & 0xffff };
}

/** @returns the keys that cover all of this one and more, widest first. */
export function widerKeys(key: PortKey): PortKey[] {
  if (key === ALL_PORTS) return [];
  const { protocol, port, prefixLen } = unpackPortKey(key);
  const wider = [ALL_PORTS];
  for (let length = 0; length < prefixLen; length++) {
    const shift = 16 - length;
    wider.push(portKey(protocol, (port >>> shift) << shift, length));
  }
  return wider;
}

/** A range of one protocol's ports, both ends included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** @returns the same ports as the fewest ranges, in rising order. */
export function mergeRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && range.from <= last.to + 1) {
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    } else merged.push(range);
  }
  return merged;
}
