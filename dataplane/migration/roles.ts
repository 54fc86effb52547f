/** How the contents of each map are taken over by a newer layout. */

/**
 * - `owned`: user space writes it and nobody else, so that a copy is final.
 * - `live`: the programs write it. It is copied before they change over, and what they did meanwhile is added after.
 * - `counters`: the programs count in it. It is copied just before they change over.
 * - `events`: what waits in it is for a daemon that is gone.
 */
export type Role = "owned" | "live" | "counters" | "events";

/** Of every map in bpf/lib/maps.h; a test sees that none is missing. */
export const ROLES: Readonly<Record<string, Role>> = {
  ENDPOINTS: "owned",
  POD_IFACES: "owned",
  POD_IFACES_MORE: "owned",
  POLICIES: "owned",
  POLICY_SHAPES: "owned",
  CIDR_IDENTITIES: "owned",
  CONFIG: "owned",
  DATAPATH_STATE: "owned",
  CONNTRACK: "live",
  FRAGMENTS: "live",
  DROP_FLOWS: "live",
  DROP_COUNTERS: "counters",
  STATISTICS: "counters",
  FLOW_EVENTS: "events",
};

/**
 * Members that begin at 0 in the copy, because what the old programs counted until their end is added after it:
 * otherwise the part up to the copy would be there twice.
 */
export const ADDED_LATER: Readonly<Record<string, ReadonlySet<string>>> = {
  CONNTRACK: new Set(["bytes", "packets"]),
};
