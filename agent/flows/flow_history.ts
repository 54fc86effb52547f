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

/** A pod, and what is looked up for each event of it. */
interface KnownPod {
  readonly pod: Attachment;
  /** Undefined when there is no room for it. */
  readonly history: PodHistory | undefined;
  readonly labels: LabelSetEntry | undefined;
}

/** One end of a flow. */
interface End {
  readonly ip: number;
  readonly identity: number;
  readonly known: KnownPod | undefined;
}

const TCP_SYN = 0x02;
/** Where Linux takes the ports of those that open connections from. */
const FIRST_EPHEMERAL_PORT = 32_768;
/** Past all addresses: a peer's number is its address, or this and the number of its label set. */
const FIRST_PODS_NUMBER = 2 ** 32;
const PRUNE_INTERVAL_MS = 10_000;
/** Repeats of a drop are told after the interval of flow events, five seconds, when maps are next collected. */
const LATE_REPORT_NS = 11e9;

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
  /** By address: two lookups for each end of an event, hundreds of thousands of times a second. */
  readonly #known = new Map<number, KnownPod>();
  /** Events of pods that there was no room for. */
  readonly #unheld = new WeakMap<Attachment, number>();
  #size = 0;
  #interruptions = 0;
  #prunedMs = 0;
  #labelsFreedMs = 0;

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
    const entry = this.#labels.find(labels);
    return [...this.#pods.values()].filter((pod) => pod.labels === entry);
  }

  /** How many events of a pod are not remembered because there was no room for the pod. */
  unheldOf(pod: Attachment): number {
    return this.#unheld.get(pod) ?? 0;
  }

  /** Takes note of an event. */
  record(event: FlowEvent): void {
    if (event.isReply) return;
    const denied = event.eventType === FlowEventType.DROP;
    if (denied && event.dropReason !== DropReason.POLICY_DENIED) return;
    const begun = event.protocol !== IpProtocol.TCP || (event.tcpFlags & TCP_SYN) !== 0;
    // Later packets of a connection say nothing new.
    if (!begun && !denied && event.eventType !== FlowEventType.NEW) return;
    const source = this.#end(event.srcIp, event.srcIdentity);
    const destination = this.#end(event.dstIp, event.dstIdentity);
    const sender = event.direction === PolicyDirection.EGRESS ? this.#historyAt(source) : undefined;
    const receiver = this.#historyAt(destination);
    if (denied) {
      if (sender) this.#recordDenied(sender, "egress", destination, event);
      const byReceiver = event.ruleDirection === PolicyDirection.INGRESS;
      if (receiver && byReceiver) this.#recordDenied(receiver, "ingress", source, event);
      return;
    }
    if (!begun) {
      for (const pod of [sender, receiver]) if (pod) pod.leftOut.unclear++;
      return;
    }
    if (sender) this.#recordPassed(sender, "egress", destination, event);
    if (receiver) this.#recordPassed(receiver, "ingress", source, event);
  }

  #recordPassed(
    pod: PodHistory,
    direction: "ingress" | "egress",
    end: End,
    event: FlowEvent,
  ): void {
    const { leftOut } = pod;
    const peer = peerNumber(pod, end, "overflow");
    if (peer === undefined) return;
    const known = pod.find(direction, peer, event.protocol, event.dstPort);
    if (known !== undefined) {
      known.lastMs = this.#options.now();
      known.decidedNs = Math.max(known.decidedNs, decidedNs(event));
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
    const flow = this.#newFlow(direction, end, event);
    if (event.verdict === PolicyAction.AUDIT) audit(flow, event);
    pod.add(peer, flow);
    this.#size++;
  }

  #recordDenied(
    pod: PodHistory,
    direction: "ingress" | "egress",
    end: End,
    event: FlowEvent,
  ): void {
    const peer = peerNumber(pod, end, "deniedOverflow");
    if (peer === undefined) return;
    const key = `${direction} ${peer} ${event.protocol} ${event.dstPort}`;
    const known = pod.findDenied(key);
    if (known !== undefined) {
      known.lastMs = this.#options.now();
      const passed = pod.find(direction, peer, event.protocol, event.dstPort);
      if (isLateReport(known, passed, event)) return;
      known.decidedNs = Math.max(known.decidedNs, decidedNs(event));
      known.srcPort = event.srcPort;
      known.rule = event.rule;
    } else if (pod.deniedSize >= HISTORY_BOUNDS.deniedOfPod) {
      pod.leftOut.deniedOverflow++;
      this.#forget(pod, pod.find(direction, peer, event.protocol, event.dstPort), peer, event);
    } else pod.addDenied(key, { ...this.#newFlow(direction, end, event), rule: event.rule });
  }

  /** What passed before and is denied now must not be told as passing, though there is no room for the denial. */
  #forget(pod: PodHistory, passed: RememberedFlow | undefined, peer: number, event: FlowEvent) {
    if (passed === undefined || passed.decidedNs > decidedNs(event)) return;
    pod.remove(peer, passed);
    this.#size--;
  }

  #newFlow(
    direction: "ingress" | "egress",
    { ip, known }: End,
    event: FlowEvent,
  ): RememberedFlow {
    const { protocol, srcPort, dstPort } = event;
    const firstMs = this.#options.now();
    const peer: Peer = known?.labels === undefined
      ? { kind: "address", ip }
      : { kind: "pods", labels: known.labels };
    const rest = { firstMs, lastMs: firstMs, decidedNs: decidedNs(event), srcPort };
    const unnamed = { audited: false, rule: "" };
    return { direction, peer, protocol, port: dstPort, ...rest, ...unnamed };
  }

  #end(ip: number, identity: number): End {
    if (identity < FIRST_POD_IDENTITY) return { ip, identity, known: undefined };
    const pod = this.#options.podOf(ip);
    if (pod === undefined) return { ip, identity, known: undefined };
    const known = this.#known.get(ip);
    return { ip, identity, known: known?.pod === pod ? known : this.#know(ip, pod) };
  }

  /** What is remembered of the pod at this end; undefined when there is none, or, and counted, no room for it. */
  #historyAt({ known }: End): PodHistory | undefined {
    if (known === undefined) return undefined;
    const { pod, history } = known;
    if (history === undefined) this.#unheld.set(pod, this.unheldOf(pod) + 1);
    return history;
  }

  #know(ip: number, pod: Attachment): KnownPod {
    if (this.#known.size >= HISTORY_BOUNDS.pods) this.#known.clear();
    const known = {
      pod,
      history: this.#historyOf(pod),
      labels: this.#labelsOf(pod.identityLabels),
    };
    // One that there was no room for may find some later.
    if (known.history !== undefined) this.#known.set(ip, known);
    return known;
  }

  #historyOf(pod: Attachment): PodHistory | undefined {
    const labels = this.#labelsOf(pod.identityLabels);
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

  #labelsOf(labels: Labels): LabelSetEntry | undefined {
    const entry = this.#labels.of(labels);
    if (entry !== undefined || !this.#freeLabels()) return entry;
    return this.#labels.of(labels);
  }

  /** Forgets label sets that nothing remembered is of, now and then: it looks at all flows. Returns whether it did. */
  #freeLabels(): boolean {
    const now = this.#options.now();
    if (now - this.#labelsFreedMs < PRUNE_INTERVAL_MS) return false;
    this.#labelsFreedMs = now;
    this.#labels.keepOnly(this.#labelsInUse());
    if (this.#labels.isFull) {
      this.#prune();
      this.#labels.keepOnly(this.#labelsInUse());
    }
    // They may name a set that is forgotten.
    this.#known.clear();
    return true;
  }

  #labelsInUse(): ReadonlySet<LabelSetEntry> {
    const used = new Set<LabelSetEntry>();
    for (const pod of this.#pods.values()) for (const entry of pod.labelSets()) used.add(entry);
    return used;
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

/** When a packet was judged so. The end of a connection comes late, and judges none. */
function decidedNs({ eventType, timestampNs }: FlowEvent): number {
  return eventType === FlowEventType.END ? 0 : Number(timestampNs);
}

/**
 * Whether a drop that comes after the flow passed may be the rest of those before: further packets of the same attempt,
 * which the datapath counts and tells later. Who tries again does so from another port, and who goes on is told of again.
 */
function isLateReport(
  { rule, srcPort, decidedNs }: RememberedFlow,
  passed: RememberedFlow | undefined,
  event: FlowEvent,
): boolean {
  return passed !== undefined && passed.decidedNs > decidedNs && event.srcPort === srcPort &&
    event.rule === rule && Number(event.timestampNs) - passed.decidedNs < LATE_REPORT_NS;
}

/**
 * The number of the other end; undefined, and counted, when it is none that a policy could name.
 *
 * @param noRoom where a pod counts whose labels there is no room for
 */
function peerNumber(
  { leftOut }: PodHistory,
  { ip, identity, known }: End,
  noRoom: "overflow" | "deniedOverflow",
): number | undefined {
  if (identity >= FIRST_POD_IDENTITY) {
    if (known?.labels !== undefined) return FIRST_PODS_NUMBER + known.labels.id;
    leftOut[known === undefined ? "unknownPeers" : noRoom]++;
    return undefined;
  }
  if (identity !== ReservedIdentity.HOST) return ip;
  leftOut.node++;
  return undefined;
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
