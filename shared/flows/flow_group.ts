/** Readers of flow events who want the same. Pure. */
import type { FlowFilter } from "./flow_fields.ts";
import { type FlowChunk, FlowLog } from "./flow_log.ts";
import { FlowWriter, FRAME_HEADER_BYTES, writeFrameHeader } from "./flow_writer.ts";

/** Events on their way to a reader: framed messages. */
export interface FlowBatch {
  readonly bytes: Uint8Array;
  readonly events: number;
  /** Events that this reader lost right before these; the first one tells him. */
  readonly lost: number;
}

const lostWriter = new FlowWriter();

/** Readers with the same filter. */
export class FlowGroup {
  readonly filter: FlowFilter;
  readonly log: FlowLog;
  readonly subscribers = new Set<FlowSubscriber>();

  constructor(filter: FlowFilter, onLost: (events: number) => void) {
    this.filter = filter;
    this.log = new FlowLog((chunk) => {
      for (const subscriber of this.subscribers) {
        if (subscriber.position <= chunk.first) onLost(chunk.events);
      }
    });
  }

  /** Hands on what was gathered. */
  seal(limitBytes: number): void {
    this.log.seal();
    this.log.shrink(limitBytes);
    for (const subscriber of this.subscribers) subscriber.wakeUp();
  }

  /** Forgets what all have read. */
  trim(): void {
    let needed = this.log.end;
    for (const { chunk } of this.subscribers) needed = Math.min(needed, chunk);
    this.log.forgetBefore(needed);
  }
}

/** One reader. A reader who is too slow loses the oldest events and is told how many. */
export class FlowSubscriber implements AsyncIterable<FlowBatch> {
  readonly #group: FlowGroup;
  /** The number of the next event that it has not heard of. */
  position: number;
  /** The number of the next chunk. */
  chunk: number;
  #ended = false;
  #left = false;
  #wake: (() => void) | undefined;

  /** Only for FlowFanOut. */
  constructor(group: FlowGroup) {
    this.#group = group;
    this.position = group.log.next;
    this.chunk = group.log.end;
  }

  /** Its filter's readers. */
  get group(): FlowGroup {
    return this.#group;
  }

  /** Lets a reader that waits look again. */
  wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Ends the reader's loop once it has read what was published before. */
  end(): void {
    this.#group.log.seal();
    this.#ended = true;
    this.wakeUp();
  }

  /** Ends the reader's loop now. */
  leave(): void {
    this.#left = true;
    this.end();
  }

  /** Reads until `end`. For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<FlowBatch, void> {
    for (;;) {
      const batch = this.#take();
      if (batch !== undefined) yield batch;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #take(): FlowBatch | undefined {
    const { log } = this.#group;
    const chunk = log.at(this.chunk);
    if (chunk === undefined || this.#left) return undefined;
    this.chunk = Math.max(this.chunk, log.oldest) + 1;
    const lost = chunk.first - this.position;
    this.position = chunk.first + chunk.events;
    if (this.chunk === log.end) this.#group.trim();
    return { bytes: withLost(chunk, lost), events: chunk.events, lost };
  }
}

/** The chunk's bytes, with lost_events in the first message when there is something to tell. */
function withLost({ bytes }: FlowChunk, lost: number): Uint8Array {
  if (lost === 0) return bytes;
  const field = lostWriter.lostEvents(lost);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  const end = FRAME_HEADER_BYTES + length;
  const told = new Uint8Array(bytes.length + field.length);
  told.set(bytes.subarray(0, end));
  told.set(field, end);
  told.set(bytes.subarray(end), end + field.length);
  writeFrameHeader(told, length + field.length);
  return told;
}
