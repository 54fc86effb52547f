/** Flow events as the kernel writes them, turned into what subscribers get. Pure. */

import type { Filterable, FlowFields } from "../../shared/flows/flow_fields.ts";
import { FlowEventCodec, FlowEventLayout } from "../../shared/gen/abi.ts";
import { IPVersion } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { PodNames, RuleNames } from "./names.ts";

/** What is joined to an event. */
export interface FlowContext {
  readonly pods: PodNames;
  readonly rules: RuleNames;
  /** Add it to a CLOCK_MONOTONIC time for nanoseconds since 1970-01-01 UTC. */
  readonly wallOffsetNs: bigint;
}

/** Bytes of one record in the ring. */
export const FLOW_EVENT_BYTES = FlowEventLayout.size;

/** What the filters look at, read without decoding the rest. */
export function filterableAt(view: DataView, offset: number): Filterable {
  return {
    srcIdentity: view.getUint32(offset + FlowEventLayout.srcIdentity, true),
    dstIdentity: view.getUint32(offset + FlowEventLayout.dstIdentity, true),
    verdict: view.getUint8(offset + FlowEventLayout.verdict),
  };
}

/** The event at an offset, with names. */
export function flowMessageAt(
  view: DataView,
  offset: number,
  { pods, rules, wallOffsetNs }: FlowContext,
): FlowFields {
  const { isReply, ...event } = FlowEventCodec.read(view, offset);
  const source = pods.find(event.srcIp, event.srcIdentity);
  const destination = pods.find(event.dstIp, event.dstIdentity);
  return {
    ...event,
    ipVersion: IPVersion.IPv4,
    rule: event.ruleId === 0 ? "" : rules.get(event.ruleId),
    srcPod: source?.podName ?? "",
    srcNamespace: source?.namespace ?? "",
    dstPod: destination?.podName ?? "",
    dstNamespace: destination?.namespace ?? "",
    isReply: isReply !== 0,
    wallTimeUnixNs: event.timestampNs + wallOffsetNs,
  };
}
