/** What the soak "bounds" puts on a node, and what must stay bounded meanwhile. docs/limits.md says the same, by a test. Pure. */

/** The load; all of it at the same time. */
export const LOAD = {
  pods: 500,
  policies: 1_000,
  entries: 60_000,
  subscribers: 200,
  /** Of these, stopped (SIGSTOP) as long as the load lasts. */
  stopped: 2,
  /** New flows a second, each another one. */
  flowsPerSecond: 25_000,
  /** Denied packets a second, each from another address. */
  deniedPerSecond: 25_000,
  /** Flows, and denied packets, at least. */
  least: 1_000_000,
} as const;

/** What must not be exceeded. */
export const LIMITS = {
  /** Resident memory of novanet-dataplane, at any time. */
  dataplaneMb: 320,
  /** Resident memory of novanet-agent, at any time. */
  agentMb: 320,
  /** Growth of either in the last two thirds of the time, from its first third to its last: a heap that breathes stays below. */
  growthPercent: 15,
  /** Descriptors that either may have more in the last third than in the first. */
  descriptors: 8,
  /** Answer to GetDataplaneStatus and GetAgentStatus, half of them. */
  rpcMedianMs: 1_000,
  /** The same, 99 of 100; in ten minutes. */
  rpcP99Ms: 3_000,
  /** One byte there and back between two pods over TCP, the median of the p99 of samples of one second. */
  packetP99Us: 20_000,
} as const;
