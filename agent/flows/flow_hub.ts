import type { FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { BoundedQueue } from "./bounded_queue.ts";

/** Which events a subscriber wants. */
export interface FlowFilter {
  /** Keeps events whose source or destination has this identity; 0 keeps all. */
  readonly identity: number;
  /** Keeps events of dropped packets only. */
  readonly dropsOnly: boolean;
}

interface Subscriber {
  readonly filter: FlowFilter;
  readonly queue: BoundedQueue<FlowEvent>;
  /** Events that the subscriber has missed and was not told of. */
  lost: bigint;
}

/** Events that wait for one subscriber at most; more are lost, and counted. */
export const SUBSCRIBER_QUEUE = 4096;

/**
 * Gives each flow event of the dataplane to every subscriber that wants it. A subscriber that does
 * not keep up loses events, is told how many, and slows nobody.
 */
export class FlowHub {
  readonly #subscribers = new Set<Subscriber>();
  readonly #queueSize: number;
  #events = 0n;
  #lost = 0n;
  #lostBefore = 0n;

  /** @param queueSize events that wait for one subscriber at most */
  constructor(queueSize: number = SUBSCRIBER_QUEUE) {
    this.#queueSize = queueSize;
  }

  /** Subscriptions that are open. */
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Events that came from the dataplane. */
  get events(): bigint {
    return this.#events;
  }

  /** Events that subscribers missed because they were slow, all together. */
  get lost(): bigint {
    return this.#lost;
  }

  /** Events that the dataplane says were lost before they came here. */
  get lostBefore(): bigint {
    return this.#lostBefore;
  }

  /** Hands an event on. */
  publish(event: FlowEvent): void {
    this.#events++;
    this.#lostBefore += event.lostEvents;
    for (const subscriber of this.#subscribers) this.#offer(subscriber, event);
  }

  /** Ends all subscriptions: the source is gone. */
  end(): void {
    for (const { queue } of this.#subscribers) queue.end();
  }

  /**
   * Events from now on, each with the count of those that this subscriber missed before it.
   * @param signal ends the subscription
   */
  async *subscribe(filter: FlowFilter, signal: AbortSignal): AsyncGenerator<FlowEvent, void> {
    const queue = new BoundedQueue<FlowEvent>(this.#queueSize);
    const subscriber: Subscriber = { filter, queue, lost: 0n };
    const end = () => queue.end();
    this.#subscribers.add(subscriber);
    signal.addEventListener("abort", end, { once: true });
    try {
      if (!signal.aborted) yield* queue;
    } finally {
      signal.removeEventListener("abort", end);
      this.#subscribers.delete(subscriber);
    }
  }

  #offer(subscriber: Subscriber, event: FlowEvent): void {
    const lost = subscriber.lost + event.lostEvents;
    if (!matches(event, subscriber.filter)) {
      subscriber.lost = lost;
    } else if (subscriber.queue.push({ ...event, lostEvents: lost })) {
      subscriber.lost = 0n;
    } else {
      subscriber.lost = lost + 1n;
      this.#lost++;
    }
  }
}

function matches(event: FlowEvent, filter: FlowFilter): boolean {
  if (filter.dropsOnly && event.verdict !== PolicyAction.DENY) return false;
  return filter.identity === 0 || event.srcIdentity === filter.identity ||
    event.dstIdentity === filter.identity;
}
