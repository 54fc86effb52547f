import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  FlowsLeftOutSchema,
  GetPodFlowsRequest,
  GetPodFlowsResponseSchema,
  PodFlowSchema,
  PodSelectionSchema,
} from "../../shared/gen/novanet/ext/v1/pod_flows_pb.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { ownLabels } from "../flows/label_sets.ts";
import { lastVerdicts } from "../flows/last_verdicts.ts";
import type { PodHistory, RememberedFlow } from "../flows/pod_history.ts";
import { labelKey, type Labels } from "../identity/mod.ts";
import type { Attachment } from "../state/mod.ts";
import type { AgentParts } from "./parts.ts";
import { readyPod } from "./pod_ref.ts";

type Flow = MessageInitShape<typeof PodFlowSchema>;
type Selection = MessageInitShape<typeof PodSelectionSchema>;

/**
 * Answers GetPodFlows: the flows of a pod and of all with its labels, by whom a policy could select.
 * @throws {RpcError} NOT_FOUND, FAILED_PRECONDITION
 */
export function podFlows(
  parts: AgentParts,
  request: GetPodFlowsRequest,
): MessageInitShape<typeof GetPodFlowsResponseSchema> {
  const { registry, history } = parts;
  const pod = readyPod(registry, "pod", request);
  const key = labelKey(pod.identityLabels);
  const pods = registry.list();
  const alike = pods.filter(({ identityLabels }) => labelKey(identityLabels) === key);
  const histories = history.ofLabels(pod.identityLabels);
  const own = histories.find(({ namespace, name }) =>
    namespace === pod.podNamespace && name === pod.podName
  );
  const since = own?.startedMs ?? Math.max(history.startedMs, pod.createdUnixMs);
  const { passed, denied } = lastVerdicts(histories);
  return {
    pods: selection(pods, pod.podNamespace, pod.identityLabels),
    names: [...new Set(alike.map(({ podName }) => podName))].sort(),
    sinceUnixMs: BigInt(since),
    flows: passed.map((flow) => flowMessage(flow, pods)),
    denied: denied.map((flow) => flowMessage(flow, pods)),
    leftOut: leftOut(parts, histories, alike),
  };
}

function flowMessage(flow: RememberedFlow, pods: readonly Attachment[]): Flow {
  const { direction, peer, protocol, port, firstMs, lastMs, audited, rule } = flow;
  return {
    direction: direction === "ingress" ? PolicyDirection.INGRESS : PolicyDirection.EGRESS,
    ...(peer.kind === "pods"
      ? { pods: selection(pods, peer.labels.namespace, peer.labels.all) }
      : { ip: Ipv4.fromU32(peer.ip).toString() }),
    protocol,
    port,
    firstUnixMs: BigInt(firstMs),
    lastUnixMs: BigInt(lastMs),
    audited,
    rule,
  };
}

/**
 * How a policy selects the pods of a label set and no other of this node: by all their labels, and without a label
 * that others have beside these.
 */
function selection(pods: readonly Attachment[], namespace: string, all: Labels): Selection {
  const labels = ownLabels(all);
  const key = labelKey(all);
  const absentKeys = new Set<string>();
  const indistinct = new Set<string>();
  for (const other of pods) {
    if (other.podNamespace !== namespace || labelKey(other.identityLabels) === key) continue;
    const has = ownLabels(other.identityLabels);
    if (Object.entries(labels).some(([name, value]) => has[name] !== value)) continue;
    const more = Object.keys(has).filter((name) => !(name in labels)).sort();
    if (more.some((name) => absentKeys.has(name))) continue;
    if (more[0] === undefined) indistinct.add(other.podName);
    else absentKeys.add(more[0]);
  }
  return {
    namespace,
    labels,
    absentKeys: [...absentKeys].sort(),
    indistinct: [...indistinct].sort(),
  };
}

function leftOut(
  { flows, history }: AgentParts,
  histories: readonly PodHistory[],
  pods: readonly Attachment[],
): MessageInitShape<typeof FlowsLeftOutSchema> {
  const sum = (of: keyof PodHistory["leftOut"]) =>
    BigInt(histories.reduce((all, { leftOut }) => all + leftOut[of], 0));
  const unheld = pods.reduce((all, pod) => all + history.unheldOf(pod), 0);
  return {
    node: sum("node"),
    unclear: sum("unclear"),
    answers: sum("answers"),
    unknownPeers: sum("unknownPeers"),
    overflow: sum("overflow") + BigInt(unheld),
    deniedOverflow: sum("deniedOverflow"),
    lostEvents: flows.lostBefore,
    interruptions: BigInt(history.interruptions),
    silent: flows.events === 0n,
  };
}
