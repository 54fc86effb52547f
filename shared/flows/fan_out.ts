/** Gives each flow event to every reader who wants it. Pure. */
import { type Filterable, type FlowFields, type FlowFilter, wants } from "./flow_fields.ts";
import { FlowGroup, FlowSubscriber } from "./flow_group.ts";
import { FlowWriter } from "./flow_writer.ts";

/** Readers at once; one more is refused. */
export const MOST_SUBSCRIBERS = 256;
/** What one filter's readers may be behind, in bytes: some 120,000 events. */
export const MOST_BYTES_OF_A_FILTER = 16 << 20;
/** What all of them may be behind. */
export const MOST_BYTES = 32 << 20;

/** How much is kept for readers who are behind. */
export interface FanOutLimits {
  readonly ofAFilter: number;
  readonly all: number;
}

/** All readers of flow events. */
export class FlowFanOut {
  readonly #limits: FanOutLimits;
  readonly #writer = new FlowWriter();
  readonly #groups = new Map<string, FlowGroup>();
  #size = 0;
  #lost = 0;
  #sealing = false;

  constructor(limits: FanOutLimits = { ofAFilter: MOST_BYTES_OF_A_FILTER, all: MOST_BYTES }) {
    this.#limits = limits;
  }

  /** How many readers there are. */
  get size(): number {
    return this.#size;
  }

  /** Events that readers lost because they were slow, all together. */
  get lost(): number {
    return this.#lost;
  }

  /** What readers have still to read, in bytes. */
  get queuedBytes(): number {
    let bytes = 0;
    for (const { log } of this.#groups.values()) bytes += log.keptBytes;
    return bytes;
  }

  /** A new reader, or undefined when there are {@linkcode MOST_SUBSCRIBERS}. */
  subscribe(filter: FlowFilter): FlowSubscriber | undefined {
    if (this.#size >= MOST_SUBSCRIBERS) return undefined;
    const group = this.#groupOf(filter);
    // What was gathered before is not for the new one.
    group.seal(this.#limitBytes);
    const subscriber = new FlowSubscriber(group);
    group.subscribers.add(subscriber);
    this.#size++;
    return subscriber;
  }

  /** Ends a reader's loop and forgets what it has not read yet. */
  unsubscribe(subscriber: FlowSubscriber): void {
    const { group } = subscriber;
    subscriber.leave();
    if (!group.subscribers.delete(subscriber)) return;
    this.#size--;
    if (group.subscribers.size === 0) this.#groups.delete(keyOf(group.filter));
    else group.trim();
  }

  /** Whether anybody wants the event. */
  wanted(event: Filterable): boolean {
    for (const { filter } of this.#groups.values()) if (wants(filter, event)) return true;
    return false;
  }

  /** Queues an event where it is wanted. Readers hear of it at the end of the turn, or when {@linkcode seal} is called. */
  publish(event: FlowFields): void {
    let message: Uint8Array | undefined;
    for (const { filter, log } of this.#groups.values()) {
      if (!wants(filter, event)) continue;
      message ??= this.#writer.write(event);
      log.append(message);
    }
    if (message !== undefined) this.#sealLater();
  }

  /** Tells all readers that events were lost before they came here. */
  addLost(count: number): void {
    for (const { log } of this.#groups.values()) log.skip(count);
    this.#sealLater();
  }

  /** Hands on what was gathered. */
  seal(): void {
    const limit = this.#limitBytes;
    for (const group of this.#groups.values()) group.seal(limit);
  }

  /** Ends all readers' loops. */
  close(): void {
    this.seal();
    for (const { subscribers } of this.#groups.values()) {
      for (const subscriber of subscribers) subscriber.end();
    }
  }

  get #limitBytes(): number {
    return Math.min(this.#limits.ofAFilter, this.#limits.all / this.#groups.size);
  }

  #groupOf(filter: FlowFilter): FlowGroup {
    const key = keyOf(filter);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = new FlowGroup({ ...filter }, (events) => this.#lost += events);
    this.#groups.set(key, group);
    return group;
  }

  #sealLater(): void {
    if (this.#sealing) return;
    this.#sealing = true;
    queueMicrotask(() => {
      this.#sealing = false;
      this.seal();
    });
  }
}

function keyOf({ identity, dropsOnly }: FlowFilter): string {
  return `${identity} ${dropsOnly}`;
}
