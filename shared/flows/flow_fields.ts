/** What both ends of the flow streams know of an event. Pure. */
import type { FlowEvent } from "../gen/novanet/v1/novanet_pb.ts";
import { PolicyAction } from "../gen/novanet/v1/novanet_pb.ts";

/** All fields of an event but how many were lost before it, which each reader has its own number of. */
export type FlowFields = Readonly<Omit<FlowEvent, "$typeName" | "$unknown" | "lostEvents">>;

/** What a reader wants to see; filters are joined by and. */
export interface FlowFilter {
  /** Only events whose source or destination has this identity; 0: all. */
  readonly identity: number;
  /** Only events with verdict DENY. */
  readonly dropsOnly: boolean;
}

/** What filters look at. */
export type Filterable = Pick<FlowFields, "srcIdentity" | "dstIdentity" | "verdict">;

/** Whether a reader with this filter wants the event. */
export function wants({ identity, dropsOnly }: FlowFilter, event: Filterable): boolean {
  if (dropsOnly && event.verdict !== PolicyAction.DENY) return false;
  return identity === 0 || event.srcIdentity === identity || event.dstIdentity === identity;
}
