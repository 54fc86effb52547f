import type { FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";

/** What the agent knows of pods and rules. */
export interface FlowNames {
  /** The pod that has an address (as a number) now. */
  podOf(ip: number): { readonly podName: string; readonly podNamespace: string } | undefined;
  /** A rule's name. */
  ruleName(id: number): string | undefined;
}

/** Fills in names that the dataplane did not know; what it gave stays. */
export function enrichFlow(event: FlowEvent, names: FlowNames): FlowEvent {
  if (event.rule === "" && event.ruleId !== 0) event.rule = names.ruleName(event.ruleId) ?? "";
  if (event.srcPod === "") {
    const pod = names.podOf(event.srcIp);
    if (pod !== undefined) [event.srcPod, event.srcNamespace] = [pod.podName, pod.podNamespace];
  }
  if (event.dstPod === "") {
    const pod = names.podOf(event.dstIp);
    if (pod !== undefined) [event.dstPod, event.dstNamespace] = [pod.podName, pod.podNamespace];
  }
  return event;
}
