import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TraceEndSchema } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import type { Attachment } from "../state/mod.ts";
import type { AgentParts } from "./parts.ts";

/** One end of a packet, as RPCs carry it. */
export type End = MessageInitShape<typeof TraceEndSchema> & { readonly ip: string };

/** A pod as an end. */
export function endOfPod({ registry }: AgentParts, pod: Attachment): End {
  return {
    ip: pod.ip.toString(),
    kind: "pod",
    namespace: pod.podNamespace,
    pod: pod.podName,
    identityId: registry.identityId(pod),
    labels: pod.identityLabels,
  };
}
