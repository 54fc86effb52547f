/** Moves flow events from the kernel's ring to the subscribers. */

import { setImmediate, setTimeout } from "node:timers/promises";
import { FlowFanOut } from "../../shared/flows/fan_out.ts";
import type { FlowFilter } from "../../shared/flows/flow_fields.ts";
import type { FlowSubscriber } from "../../shared/flows/flow_group.ts";
import type { RingBuffer } from "../../shared/ffi/bpf.ts";
import { CLOCK_MONOTONIC, CLOCK_REALTIME, clockGettime } from "../../shared/ffi/sys.ts";
import { getLogger } from "../../shared/log.ts";
import { filterableAt, FLOW_EVENT_BYTES, flowMessageAt } from "./flow_event.ts";
import type { PodNames, RuleNames } from "./names.ts";

/** What a pump works on; all of it stays the caller's but the ring. */
export interface FlowPumpOptions {
  /** Closed by `stop`. */
  readonly ring: RingBuffer;
  readonly pods: PodNames;
  readonly rules: RuleNames;
  /** Events that the kernel could not put into the ring, since it was made. @throws SysError */
  readonly readLost: () => bigint;
}

/** Records between two looks at everything else that the process has to do. */
const BATCH = 1024;
/**
 * How long events may gather when there are few: waiting for each one costs a wake-up of two threads, which under many
 * short connections took half a processor. The ring has room for thousands of times as many.
 */
const GATHER_MS = 10;
const log = getLogger("dataplane/flows");

/** Reads the ring until it is stopped. */
export class FlowPump {
  readonly #options: FlowPumpOptions;
  readonly #fanOut = new FlowFanOut();
  #received = 0n;
  #lostBefore: bigint;
  #stopped = false;
  #done: Promise<void> | undefined;

  /** @throws SysError */
  constructor(options: FlowPumpOptions) {
    this.#options = options;
    this.#lostBefore = options.readLost();
  }

  /** Events read since the pump was made. */
  get received(): bigint {
    return this.#received;
  }

  /** Events that readers lost because they were slow, all together. */
  get lostBySubscribers(): number {
    return this.#fanOut.lost;
  }

  /** A new reader, or undefined when there are too many. What was lost before it came is not its loss. @throws SysError */
  subscribe(filter: FlowFilter): FlowSubscriber | undefined {
    if (this.#fanOut.size === 0) this.#lostBefore = this.#options.readLost();
    return this.#fanOut.subscribe(filter);
  }

  /** Forgets a reader and ends its loop. */
  unsubscribe(subscriber: FlowSubscriber): void {
    this.#fanOut.unsubscribe(subscriber);
  }

  /** Begins to read, on this thread; waiting happens on another. */
  start(): void {
    this.#done ??= this.#run().catch((error) => log.error("the flow pump stopped", { error }));
  }

  /** Ends the subscribers' streams and waits until the ring is closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#fanOut.close();
    this.#options.ring.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { ring } = this.#options;
    while (!this.#stopped) {
      const count = this.#readBatch();
      if (count === 0) await ring.wait(-1);
      else if (count === BATCH) await setImmediate();
      else await setTimeout(GATHER_MS);
    }
  }

  #readBatch(): number {
    const { ring, pods, rules } = this.#options;
    const fanOut = this.#fanOut;
    if (fanOut.size > 0) this.#reportLost();
    const wallOffsetNs = clockGettime(CLOCK_REALTIME) - clockGettime(CLOCK_MONOTONIC);
    const context = { pods, rules, wallOffsetNs };
    const count = ring.consume((view, offset, length) => {
      if (fanOut.size === 0 || length !== FLOW_EVENT_BYTES) return;
      if (!fanOut.wanted(filterableAt(view, offset))) return;
      fanOut.publish(flowMessageAt(view, offset, context));
    }, BATCH);
    this.#received += BigInt(count);
    return count;
  }

  #reportLost(): void {
    const lost = this.#options.readLost();
    if (lost > this.#lostBefore) this.#fanOut.addLost(Number(lost - this.#lostBefore));
    this.#lostBefore = lost;
  }
}
