/** Sizes of the kernel's tables, and what they are by default. Pure. */

/** Most entries of each table, and the bytes of the flow ring. */
export interface Sizes {
  /** Tracked connections. When the table is full, which begins at nine tenths of that, new connections are refused. */
  readonly conntrackMax: number;
  /** Policy entries that one set may hold. */
  readonly policyMax: number;
  /** Pods and host addresses, of all nodes. */
  readonly endpointMax: number;
  /** IPv4 datagrams whose later fragments are awaited. */
  readonly fragmentMax: number;
  /** Flow events that wait for the daemon, in bytes: a power of two of at least one page. */
  readonly flowRingBytes: number;
}

const GIB = 2 ** 30;
const FRAGMENT_SHARES = 16;

/**
 * The sizes for a machine that has `memoryBytes` of memory. Tables of these sizes take 46 MiB of 1 GiB,
 * 102 MiB of 4 GiB and 226 MiB from 16 GiB up; smaller machines get those of 1 GiB.
 */
export function defaultSizes(memoryBytes: number): Sizes {
  const gib = memoryBytes / GIB;
  return {
    conntrackMax: scaled(gib * 65_536, 65_536, 1_048_576),
    policyMax: scaled(gib * 32_768, 65_536, 131_072),
    endpointMax: scaled(gib * 16_384, 65_536, 262_144),
    fragmentMax: scaled(gib * 4_096, 8_192, 65_536),
    flowRingBytes: scaled(gib * 2 * 2 ** 20, 2 ** 21, 2 ** 23),
  };
}

/**
 * How many of so many datagrams may be of one interface: what a pod begins and never ends must not use up what the
 * others need. Pure.
 */
export function fragmentQuota(fragmentMax: number): number {
  return Math.max(1, Math.floor(fragmentMax / FRAGMENT_SHARES));
}

/** The nearest power of two below, inside the limits: pinned tables keep their size on small changes of memory. */
function scaled(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, 2 ** Math.floor(Math.log2(Math.max(1, value)))));
}
