import { FlowFanOut, MOST_SUBSCRIBERS } from "../../shared/flows/fan_out.ts";
import type { FlowFilter } from "../../shared/flows/flow_fields.ts";
import type { FlowBatch } from "../../shared/flows/flow_group.ts";
import type { FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { resourceExhausted } from "../../shared/rpc/errors.ts";

/**
 * Gives each flow event of the dataplane to every subscriber that wants it. A subscriber that does
 * not keep up loses the oldest events, is told how many, and slows nobody.
 */
export class FlowHub {
  readonly #fanOut: FlowFanOut;
  #events = 0n;
  #lostBefore = 0n;

  /** @param fanOut where subscribers' events wait */
  constructor(fanOut: FlowFanOut = new FlowFanOut()) {
    this.#fanOut = fanOut;
  }

  /** Subscriptions that are open. */
  get subscribers(): number {
    return this.#fanOut.size;
  }

  /** Events that came from the dataplane. */
  get events(): bigint {
    return this.#events;
  }

  /** Events that subscribers missed because they were slow, all together. */
  get lost(): bigint {
    return BigInt(this.#fanOut.lost);
  }

  /** Events that the dataplane says were lost before they came here. */
  get lostBefore(): bigint {
    return this.#lostBefore;
  }

  /** Hands an event on. */
  publish(event: FlowEvent): void {
    this.#events++;
    if (event.lostEvents > 0n) {
      this.#lostBefore += event.lostEvents;
      this.#fanOut.addLost(Number(event.lostEvents));
    }
    this.#fanOut.publish(event);
  }

  /** Ends all subscriptions: the source is gone. */
  end(): void {
    this.#fanOut.close();
  }

  /**
   * Events from now on, many at once, each with the count of those that this subscriber missed before it.
   * @param signal ends the subscription
   * @throws {RpcError} RESOURCE_EXHAUSTED when there are too many subscriptions
   */
  async *subscribe(filter: FlowFilter, signal: AbortSignal): AsyncGenerator<FlowBatch, void> {
    const subscriber = this.#fanOut.subscribe(filter);
    if (subscriber === undefined) {
      throw resourceExhausted(`${MOST_SUBSCRIBERS} streams of flows are open already`);
    }
    const end = () => subscriber.end();
    signal.addEventListener("abort", end, { once: true });
    try {
      if (!signal.aborted) yield* subscriber;
    } finally {
      signal.removeEventListener("abort", end);
      this.#fanOut.unsubscribe(subscriber);
    }
  }
}
