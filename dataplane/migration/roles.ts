/** How the contents of each map are taken over by a newer layout. */

/**
 * - `owned`: user space writes it and nobody else, so that a copy is final.
 * - `live`: the programs write it. It is copied before they change over, and what they did meanwhile is added after.
 * - `counters`: the programs count in it. It is copied just before they change over.
 * - `derived`: it follows from another map, and is made anew with that.
 * - `events`: what waits in it is for a daemon that is gone.
 */
export type Role = "owned" | "live" | "counters" | "derived" | "events";

/** Of every map in bpf/lib/maps.h; a test sees that none is missing. */
export const ROLES: Readonly<Record<string, Role>> = {
  ENDPOINTS: "owned",
  POD_IFACES: "owned",
  POD_IFACES_MORE: "owned",
  HANDOVER: "owned",
  POLICIES: "owned",
  POLICY_SHAPES: "owned",
  CIDR_IDENTITIES: "owned",
  CONFIG: "owned",
  DATAPATH_STATE: "owned",
  CONNTRACK: "live",
  CONNTRACK_MORE: "live",
  CONNTRACK_MORE_COUNT: "derived",
  FRAGMENTS: "live",
  FRAGMENT_COUNTS: "derived",
  DROP_FLOWS: "live",
  DROP_COUNTERS: "counters",
  STATISTICS: "counters",
  FLOW_EVENTS: "events",
};
