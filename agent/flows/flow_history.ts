import {
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
  ReservedIdentity,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { FIRST_POD_IDENTITY, type Labels } from "../identity/mod.ts";
import { IpProtocol } from "../../shared/net/ip_protocol.ts";
import type { Attachment } from "../state/mod.ts";
import { type LabelSetEntry, LabelSets } from "./label_sets.ts";
import { type Peer, PodHistory, type RememberedFlow } from "./pod_history.ts";

/** How much is remembered. */
export const HISTORY_BOUNDS = {
  /** Of the whole node: an entry takes about 250 bytes. */
  flows: 32_768,
  flowsOfPod: 2048,
  deniedOfPod: 128,
  pods: 1024,
  labelSets: 4096,
} as const;

/** The pods of the node, for the history. */
export interface HistoryOptions {
  /** The pod that has an address now. */
  readonly podOf: (ip: number) => Attachment | undefined;
  /** All pods of the node. */
  readonly pods: () => readonly Attachment[];
  /** The time, Unix, milliseconds. */
  readonly now: () => number;
}

const TCP_SYN = 0x02;
/** Where Linux takes the ports of those that open connections from. */
const FIRST_EPHEMERAL_PORT = 32_768;
/** Past all addresses: a peer's number is its address, or this and the number of its label set. */
const FIRST_PODS_NUMBER = 2 ** 32;
const PRUNE_INTERVAL_MS = 10_000;

/**
 * Remembers which flows each pod had, once each, from the stream of flow events: who, by labels or address, to which
 * port, who opened it. Bounded; what there is no room for is counted.
 */
export class FlowHistory {
  readonly #options: HistoryOptions;
  readonly #startedMs: number;
  readonly #labels = new LabelSets(HISTORY_BOUNDS.labelSets);
  /** By NAMESPACE/NAME. */
  readonly #pods = new Map<string, PodHistory>();
  readonly #ofAttachment = new WeakMap<Attachment, PodHistory>();
  #size = 0;
  #interruptions = 0;
  #prunedMs = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#startedMs = options.now();
  }

  /** When it began to remember. Unix, milliseconds. */
  get startedMs(): number {
    return this.#startedMs;
  }

  /** How often flow events stopped to come. */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** How many flows are remembered, denied ones left out. */
  get size(): number {
    return this.#size;
  }

  /** Notes that the dataplane went away. */
  interrupted(): void {
    this.#interruptions++;
  }

  /** What is remembered of all pods, also of those that left, that have these labels of an identity. */
  ofLabels(labels: Labels): PodHistory[] {
    const entry = this.#labels.of(labels);
    return [...this.#pods.values()].filter((pod) => pod.labels === entry);
  }

  /** Takes note of an event. */
  record(event: FlowEvent): void {
    if (event.isReply) return;
    const denied = event.eventType === FlowEventType.DROP;
    if (denied && event.dropReason !== DropReason.POLICY_DENIED) return;
    const isSender = event.direction === PolicyDirection.EGRESS;
    const sender = isSender ? this.#historyAt(event.srcIp, event.srcIdentity) : undefined;
    const deniedAtSender = denied && event.ruleDirection === PolicyDirection.EGRESS;
    const receiver = deniedAtSender ? undefined : this.#historyAt(event.dstIp, event.dstIdentity);
    if (denied) {
      if (sender) this.#recordDenied(sender, "egress", event);
      if (receiver) this.#recordDenied(receiver, "ingress", event);
      return;
    }
    const begun = event.protocol !== IpProtocol.TCP || (event.tcpFlags & TCP_SYN) !== 0;
    if (sender) this.#recordPassed(sender, "egress", event, begun);
    if (receiver) this.#recordPassed(receiver, "ingress", event, begun);
  }

  #recordPassed(
    pod: PodHistory,
    direction: "ingress" | "egress",
    event: FlowEvent,
    begun: boolean,
  ): void {
    const { leftOut } = pod;
    if (!begun) {
      // Later packets of a connection that is remembered come so too.
      if (event.eventType === FlowEventType.NEW) leftOut.unclear++;
      return;
    }
    const peer = this.#peerNumber(pod, direction, event);
    if (peer === undefined) return;
    const known = pod.find(direction, peer, event.protocol, event.dstPort);
    if (known !== undefined) {
      known.lastMs = this.#options.now();
      if (event.verdict === PolicyAction.AUDIT) audit(known, event);
      return;
    }
    if (isLateAnswer(pod, direction, peer, event)) {
      leftOut.answers++;
      return;
    }
    if (pod.size >= HISTORY_BOUNDS.flowsOfPod || !this.#hasRoom()) {
      leftOut.overflow++;
      return;
    }
    const flow = this.#newFlow(direction, this.#peerOf(direction, event), event);
    if (event.verdict === PolicyAction.AUDIT) audit(flow, event);
    pod.add(peer, flow);
    this.#size++;
  }

  #recordDenied(pod: PodHistory, direction: "ingress" | "egress", event: FlowEvent): void {
    const peer = this.#peerNumber(pod, direction, event);
    if (peer === undefined) return;
    const key = `${direction} ${peer} ${event.protocol} ${event.dstPort}`;
    const known = pod.findDenied(key);
    if (known !== undefined) known.lastMs = this.#options.now();
    else if (pod.deniedSize >= HISTORY_BOUNDS.deniedOfPod) pod.leftOut.deniedOverflow++;
    else {
      const flow = this.#newFlow(direction, this.#peerOf(direction, event), event);
      flow.rule = event.rule;
      pod.addDenied(key, flow);
    }
  }

  #newFlow(
    direction: "ingress" | "egress",
    peer: Peer,
    { protocol, dstPort }: FlowEvent,
  ): RememberedFlow {
    const firstMs = this.#options.now();
    const rest = { firstMs, lastMs: firstMs, audited: false, rule: "" };
    return { direction, peer, protocol, port: dstPort, ...rest };
  }

  /** The number of the other end; undefined, and counted, when it is none that a policy could name. */
  #peerNumber(
    pod: PodHistory,
    direction: "ingress" | "egress",
    event: FlowEvent,
  ): number | undefined {
    const egress = direction === "egress";
    const identity = egress ? event.dstIdentity : event.srcIdentity;
    if (identity === ReservedIdentity.HOST) {
      pod.leftOut.node++;
      return undefined;
    }
    const ip = egress ? event.dstIp : event.srcIp;
    if (identity < FIRST_POD_IDENTITY) return ip;
    const labels = this.#labelsAt(ip);
    if (labels !== undefined) return FIRST_PODS_NUMBER + labels.id;
    pod.leftOut.unknownPeers++;
    return undefined;
  }

  #peerOf(direction: "ingress" | "egress", event: FlowEvent): Peer {
    const egress = direction === "egress";
    const ip = egress ? event.dstIp : event.srcIp;
    const identity = egress ? event.dstIdentity : event.srcIdentity;
    const labels = identity < FIRST_POD_IDENTITY ? undefined : this.#labelsAt(ip);
    return labels === undefined ? { kind: "address", ip } : { kind: "pods", labels };
  }

  #labelsAt(ip: number): LabelSetEntry | undefined {
    const pod = this.#options.podOf(ip);
    return pod && this.#labels.of(pod.identityLabels);
  }

  /** The history of the pod that has an address. */
  #historyAt(ip: number, identity: number): PodHistory | undefined {
    if (identity < FIRST_POD_IDENTITY) return undefined;
    const pod = this.#options.podOf(ip);
    if (pod === undefined) return undefined;
    const known = this.#ofAttachment.get(pod);
    if (known !== undefined) return known;
    const history = this.#historyOf(pod);
    if (history !== undefined) this.#ofAttachment.set(pod, history);
    return history;
  }

  #historyOf(pod: Attachment): PodHistory | undefined {
    const labels = this.#labels.of(pod.identityLabels);
    if (labels === undefined) return undefined;
    const key = `${pod.podNamespace}/${pod.podName}`;
    const known = this.#pods.get(key);
    if (known?.labels === labels) return known;
    if (known !== undefined) this.#size -= known.size;
    else if (this.#pods.size >= HISTORY_BOUNDS.pods) this.#prune();
    if (known === undefined && this.#pods.size >= HISTORY_BOUNDS.pods) return undefined;
    const startedMs = Math.max(this.#startedMs, pod.createdUnixMs);
    const history = new PodHistory(pod.podNamespace, pod.podName, labels, startedMs);
    this.#pods.set(key, history);
    return history;
  }

  #hasRoom(): boolean {
    if (this.#size < HISTORY_BOUNDS.flows) return true;
    this.#prune();
    return this.#size < HISTORY_BOUNDS.flows;
  }

  /** Forgets pods that left, now and then: it looks at all. */
  #prune(): void {
    const now = this.#options.now();
    if (now - this.#prunedMs < PRUNE_INTERVAL_MS) return;
    this.#prunedMs = now;
    const here = new Set(
      this.#options.pods().map(({ podNamespace, podName }) => `${podNamespace}/${podName}`),
    );
    for (const [key, { size }] of this.#pods) {
      if (here.has(key)) continue;
      this.#pods.delete(key);
      this.#size -= size;
    }
  }
}

function audit(flow: RememberedFlow, event: FlowEvent): void {
  flow.audited = true;
  flow.rule = event.rule;
}

/**
 * Whether a packet that seems to open a flow answers one of the other direction, whose connection had expired: it
 * comes from the port that was asked, and goes to one of those that ask.
 */
function isLateAnswer(
  pod: PodHistory,
  direction: "ingress" | "egress",
  peer: number,
  { protocol, srcPort, dstPort }: FlowEvent,
): boolean {
  if (protocol === IpProtocol.ICMP || dstPort < FIRST_EPHEMERAL_PORT) return false;
  const other = direction === "ingress" ? "egress" : "ingress";
  return pod.find(other, peer, protocol, srcPort) !== undefined;
}
