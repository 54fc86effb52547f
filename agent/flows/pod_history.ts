import type { LabelSetEntry } from "./label_sets.ts";

/** One kind of connection of a pod. */
export interface RememberedFlow {
  readonly direction: "ingress" | "egress";
  readonly peer: Peer;
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly port: number;
  readonly firstMs: number;
  lastMs: number;
  /** Kernel time of the last packet that was judged so, nanoseconds; 0 when only its end was seen. */
  decidedNs: number;
  /** Source port of that packet. */
  srcPort: number;
  /** A policy in audit mode would have dropped some of it. */
  audited: boolean;
  /** The rule that denied or audits it; empty when it just passed. */
  rule: string;
}

/** The other end: pods of a label set, or an address as a number. */
export type Peer =
  | { readonly kind: "pods"; readonly labels: LabelSetEntry }
  | { readonly kind: "address"; readonly ip: number };

/** What was not remembered, in flow events. */
export interface LeftOut {
  node: number;
  unclear: number;
  answers: number;
  unknownPeers: number;
  overflow: number;
  deniedOverflow: number;
}

/** The flows of one pod. Lookups make no garbage: a busy node has many events. */
export class PodHistory {
  readonly namespace: string;
  readonly name: string;
  readonly labels: LabelSetEntry;
  readonly startedMs: number;
  readonly leftOut: LeftOut = {
    node: 0,
    unclear: 0,
    answers: 0,
    unknownPeers: 0,
    overflow: 0,
    deniedOverflow: 0,
  };
  readonly #flows = {
    ingress: new Map<number, Map<number, RememberedFlow>>(),
    egress: new Map<number, Map<number, RememberedFlow>>(),
  };
  readonly #denied = new Map<string, RememberedFlow>();
  #size = 0;

  constructor(namespace: string, name: string, labels: LabelSetEntry, startedMs: number) {
    this.namespace = namespace;
    this.name = name;
    this.labels = labels;
    this.startedMs = startedMs;
  }

  /** How many flows are remembered, denied ones left out. */
  get size(): number {
    return this.#size;
  }

  /** How many denied flows are remembered. */
  get deniedSize(): number {
    return this.#denied.size;
  }

  /** A flow that is remembered. */
  find(
    direction: "ingress" | "egress",
    peer: number,
    protocol: number,
    port: number,
  ): RememberedFlow | undefined {
    return this.#flows[direction].get(peer)?.get(protocol * 65536 + port);
  }

  /** Remembers a flow. @param peer the number of its peer */
  add(peer: number, flow: RememberedFlow): void {
    const flows = this.#flows[flow.direction];
    const ofPeer = flows.get(peer);
    const key = flow.protocol * 65536 + flow.port;
    if (ofPeer === undefined) flows.set(peer, new Map([[key, flow]]));
    else ofPeer.set(key, flow);
    this.#size++;
  }

  /** Forgets a flow. @param peer the number of its peer */
  remove(peer: number, { direction, protocol, port }: RememberedFlow): void {
    if (this.#flows[direction].get(peer)?.delete(protocol * 65536 + port)) this.#size--;
  }

  /** A denied flow that is remembered. */
  findDenied(key: string): RememberedFlow | undefined {
    return this.#denied.get(key);
  }

  /** Remembers a denied flow. */
  addDenied(key: string, flow: RememberedFlow): void {
    this.#denied.set(key, flow);
  }

  /** The label sets that it is of: its own, and its peers'. */
  *labelSets(): Generator<LabelSetEntry> {
    yield this.labels;
    for (const flows of [this.flows(), this.denied()]) {
      for (const { peer } of flows) if (peer.kind === "pods") yield peer.labels;
    }
  }

  /** All flows that passed. */
  *flows(): Generator<RememberedFlow> {
    for (const direction of [this.#flows.ingress, this.#flows.egress]) {
      for (const ofPeer of direction.values()) yield* ofPeer.values();
    }
  }

  /** All flows that were denied. */
  denied(): Iterable<RememberedFlow> {
    return this.#denied.values();
  }
}
