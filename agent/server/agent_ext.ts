import type { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { notFound } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { capturePackets } from "../pods/capture.ts";
import { parseAttachmentKey } from "../pods/requests.ts";
import type { Attachment } from "../state/mod.ts";
import { checkPod } from "./check_pod.ts";
import { explainPolicy } from "./explain_policy.ts";
import { failingStream } from "./failing_stream.ts";
import { podFlows } from "./pod_flows.ts";
import { firstInterface } from "./pod_ref.ts";
import type { AgentParts } from "./parts.ts";
import { notReadyReasons, requireStarted } from "./status.ts";
import { sysdump } from "./sysdump.ts";
import { tracePacket } from "./trace.ts";

/** novanet.ext.v1.AgentExt. */
export function agentExt(parts: AgentParts): ServiceImpl<typeof AgentExt> {
  const { controller, registry, metrics } = parts;
  return {
    checkPod: async (request) => {
      requireStarted(parts);
      await checkPod(parts, request);
      return {};
    },
    getReadiness: () => {
      const reasons = notReadyReasons(parts);
      const unsynced = !parts.link.everConnected && registry.list().length > 0;
      const degraded = unsynced || parts.enforcer.unattached.size > 0;
      return { ready: reasons.length === 0, reasons, degraded };
    },
    collectGarbage: async ({ valid }) => {
      requireStarted(parts);
      const keys = valid.map((key, index) => parseAttachmentKey(key, `valid[${index}].`));
      const removed = await controller.collectGarbage(keys);
      return { removed: removed.map(({ containerId, ifName }) => ({ containerId, ifName })) };
    },
    listPods: () => ({
      pods: registry.list().toSorted(byName).map((pod) => podInfo(pod, registry.identityId(pod))),
    }),
    capturePod: ({ namespace, name, snaplen, maxPackets }, { signal }) => {
      const pod = firstInterface(registry.byPod(namespace, name));
      if (pod === undefined) return failingStream(notFound(`pod ${namespace}/${name}`));
      return capturePackets({
        netns: pod.netns,
        ifName: pod.ifName,
        snaplen,
        maxPackets,
        signal,
        onLost: (packets) => metrics.onCaptureLoss(packets),
      });
    },
    inspectNode: async ({ repair }) => {
      requireStarted(parts);
      const { findings, facts, dataplaneConnected } = await parts.inspect({ repair });
      return { findings: [...findings], facts: [...facts], dataplaneConnected };
    },
    getSysdump: () => sysdump(parts),
    tracePacket: (request) => tracePacket(parts, request),
    explainPolicy: (request) => explainPolicy(parts, request),
    getPodFlows: (request) => podFlows(parts, request),
  };
}

function byName(a: Attachment, b: Attachment): number {
  const key = (pod: Attachment) => [pod.podNamespace, pod.podName, pod.ifName].join("\0");
  return key(a) < key(b) ? -1 : 1;
}

function podInfo(pod: Attachment, identityId: number) {
  return {
    namespace: pod.podNamespace,
    name: pod.podName,
    containerId: pod.containerId,
    ifName: pod.ifName,
    ip: pod.ip.toString(),
    mac: pod.mac.toString(),
    gateway: pod.gateway.toString(),
    hostIfName: pod.hostIfName,
    ifindex: pod.hostIfindex,
    identityId,
    netns: pod.netns,
    labels: pod.identityLabels,
    state: pod.state,
  };
}
