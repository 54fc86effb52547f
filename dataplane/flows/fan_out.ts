/** Gives each flow event to every reader whose filter takes it. Pure. */

import { type FlowFilter, Subscriber, SUBSCRIBER_CAPACITY } from "./subscriber.ts";

/** Readers at once; one more is refused. */
export const MOST_SUBSCRIBERS = 256;

/** What the filters look at. */
export interface Filterable {
  readonly srcIdentity: number;
  readonly dstIdentity: number;
  /** Whether the verdict is DENY. */
  readonly denied: boolean;
}

/** The readers of flow events. */
export class FanOut<T> {
  readonly #subscribers = new Set<Subscriber<T>>();
  readonly #capacity: number;

  /** @param capacity Events that each reader may be behind. */
  constructor(capacity = SUBSCRIBER_CAPACITY) {
    this.#capacity = capacity;
  }

  /** How many readers there are. */
  get size(): number {
    return this.#subscribers.size;
  }

  /** A new reader, or undefined when there are {@linkcode MOST_SUBSCRIBERS}. */
  subscribe(filter: FlowFilter): Subscriber<T> | undefined {
    if (this.#subscribers.size >= MOST_SUBSCRIBERS) return undefined;
    const subscriber = new Subscriber<T>(filter, this.#capacity);
    this.#subscribers.add(subscriber);
    return subscriber;
  }

  /** Forgets a reader and ends its loop. */
  unsubscribe(subscriber: Subscriber<T>): void {
    this.#subscribers.delete(subscriber);
    subscriber.end();
  }

  /**
   * Queues an event where it is wanted.
   *
   * @param make Called at most once, only when a reader takes the event.
   */
  publish(facts: Filterable, make: () => T): void {
    let event: T | undefined;
    for (const subscriber of this.#subscribers) {
      if (!wants(subscriber.filter, facts)) continue;
      event ??= make();
      subscriber.push(event as T);
    }
  }

  /** Tells all readers that events were lost before they came here. */
  addLost(count: number): void {
    for (const subscriber of this.#subscribers) subscriber.addLost(count);
  }

  /** Ends all readers' loops. */
  close(): void {
    for (const subscriber of this.#subscribers) this.unsubscribe(subscriber);
  }
}

function wants(filter: FlowFilter, facts: Filterable): boolean {
  if (filter.dropsOnly && !facts.denied) return false;
  const { identity } = filter;
  return identity === 0 || facts.srcIdentity === identity || facts.dstIdentity === identity;
}
