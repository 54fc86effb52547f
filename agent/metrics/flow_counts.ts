import {
  type FlowEvent,
  FlowEventType,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { MAX_FLOW_PAIRS } from "./catalogue.ts";

/** Verdicts as labels have them. */
const VERDICTS = ["DENY", "ALLOW", "AUDIT"] as const;
const TCP_FLAGS: readonly (readonly [flag: string, bit: number])[] = [
  ["fin", 0x01],
  ["syn", 0x02],
  ["rst", 0x04],
  ["ack", 0x10],
];
const OTHER = "other";

/** Events of one pair of identities, by the verdict's place. */
interface Pair {
  readonly source: string;
  readonly destination: string;
  readonly counts: number[];
}

/** What counts are given to. */
export interface FlowCountSink {
  /** Events of two identities, which are numbers or `other`. */
  pair(source: string, destination: string, verdict: string, count: number): void;
  /** TCP events that had a flag. */
  flag(flag: string, count: number): void;
}

/**
 * Counts flow events until somebody asks for the metrics: prom-client's counters take microseconds each, which at
 * 200,000 events a second nobody has.
 */
export class FlowCounts {
  readonly #pairs = new Map<number, Map<number, Pair>>();
  readonly #all: Pair[] = [];
  readonly #other: Pair = newPair(OTHER, OTHER);
  readonly #flags = new Array<number>(32).fill(0);

  /** Counts an event. */
  add(event: FlowEvent): void {
    const { verdict } = event;
    if (event.eventType === FlowEventType.NEW || verdict === PolicyAction.DENY) {
      const place = verdict === PolicyAction.DENY ? 0 : verdict === PolicyAction.AUDIT ? 2 : 1;
      this.#pair(event.srcIdentity, event.dstIdentity).counts[place]!++;
    }
    if (event.protocol === 6) this.#flags[event.tcpFlags & 31]!++;
  }

  /** Hands over what was counted since the last time. */
  take(sink: FlowCountSink): void {
    for (const pair of [...this.#all, this.#other]) {
      for (const [place, verdict] of VERDICTS.entries()) {
        const count = pair.counts[place] ?? 0;
        if (count === 0) continue;
        sink.pair(pair.source, pair.destination, verdict, count);
        pair.counts[place] = 0;
      }
    }
    for (const [flag, bit] of TCP_FLAGS) {
      const count = this.#flags.reduce((sum, each, flags) => flags & bit ? sum + each : sum, 0);
      if (count > 0) sink.flag(flag, count);
    }
    this.#flags.fill(0);
  }

  #pair(source: number, destination: number): Pair {
    const known = this.#pairs.get(source)?.get(destination);
    if (known !== undefined) return known;
    if (this.#all.length >= MAX_FLOW_PAIRS) return this.#other;
    const pair = newPair(`${source}`, `${destination}`);
    const ofSource = this.#pairs.get(source) ?? new Map<number, Pair>();
    this.#pairs.set(source, ofSource.set(destination, pair));
    this.#all.push(pair);
    return pair;
  }
}

function newPair(source: string, destination: string): Pair {
  return { source, destination, counts: VERDICTS.map(() => 0) };
}
