/** The queue between the flow pump and one reader. Pure. */

/** What a reader wants to see; filters are joined by and. */
export interface FlowFilter {
  /** Only events whose source or destination has this identity; 0: all. */
  readonly identity: number;
  /** Only events with verdict DENY. */
  readonly dropsOnly: boolean;
}

/** An event with the number of events that this reader lost right before it. */
export interface Delivery<T> {
  readonly event: T;
  readonly lostBefore: number;
}

/** Events that one reader may be behind before it loses the oldest. */
export const SUBSCRIBER_CAPACITY = 4096;

/**
 * A bounded queue: a reader that is too slow loses the oldest events and is told how many. Writing
 * never waits.
 */
export class Subscriber<T> implements AsyncIterable<Delivery<T>> {
  readonly filter: FlowFilter;
  readonly #ring: (T | undefined)[];
  #head = 0;
  #count = 0;
  #lost = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  /** @param capacity Events that wait at most. */
  constructor(filter: FlowFilter, capacity = SUBSCRIBER_CAPACITY) {
    this.filter = filter;
    this.#ring = new Array(capacity);
  }

  /** Queues an event, in place of the oldest when the queue is full. */
  push(event: T): void {
    if (this.#ended) return;
    if (this.#count === this.#ring.length) {
      this.#head = (this.#head + 1) % this.#ring.length;
      this.#count--;
      this.#lost++;
    }
    this.#ring[(this.#head + this.#count) % this.#ring.length] = event;
    this.#count++;
    this.#wakeUp();
  }

  /** Events that were lost before they came here: the reader hears of them with its next event. */
  addLost(count: number): void {
    this.#lost += count;
  }

  /** Ends the reader's loop once it has what is queued; later events are not taken. */
  end(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  /** Reads until `end`. For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery<T>> {
    for (;;) {
      const event = this.#shift();
      if (event !== undefined) {
        const lostBefore = this.#lost;
        this.#lost = 0;
        yield { event, lostBefore };
      } else if (this.#ended) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #shift(): T | undefined {
    if (this.#count === 0) return undefined;
    const event = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#ring.length;
    this.#count--;
    return event;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
