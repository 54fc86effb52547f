/** What readers with one filter have still to read, kept once for all of them. Pure. */

/** Events that were encoded one after the other. */
export interface FlowChunk {
  /** Framed messages. */
  readonly bytes: Uint8Array;
  readonly events: number;
  /** The number of its first event; numbers are left out for events that were lost before they came here. */
  readonly first: number;
}

/** Bytes of a chunk at most, unless one event is longer: what one frame of HTTP/2 takes. */
export const CHUNK_BYTES = 16_384;
/** What a chunk takes beside its bytes, about. */
const CHUNK_OVERHEAD_BYTES = 256;

/** A bounded list of chunks. The oldest go when it is full, whether they were read or not. */
export class FlowLog {
  readonly #onLost: (chunk: FlowChunk) => void;
  /** The chunks, by number from `#base` on. */
  #chunks: FlowChunk[] = [];
  #base = 0;
  #keptBytes = 0;
  readonly #open = new Uint8Array(CHUNK_BYTES);
  #openBytes = 0;
  #openEvents = 0;
  #next = 0;

  /** @param onLost is told of each chunk that goes because there is no room */
  constructor(onLost: (chunk: FlowChunk) => void) {
    this.#onLost = onLost;
  }

  /** The number that the next event gets. */
  get next(): number {
    return this.#next;
  }

  /** Whether events wait to become a chunk. */
  get gathering(): boolean {
    return this.#openEvents > 0;
  }

  /** The number of the chunk that comes next. */
  get end(): number {
    return this.#base + this.#chunks.length;
  }

  /** What is kept, in bytes. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Adds an event; the bytes are copied. */
  append(message: Uint8Array): void {
    if (this.#openBytes + message.length > CHUNK_BYTES) this.seal();
    this.#next++;
    if (message.length > CHUNK_BYTES) {
      this.#keep({ bytes: message.slice(), events: 1, first: this.#next - 1 });
      return;
    }
    this.#open.set(message, this.#openBytes);
    this.#openBytes += message.length;
    this.#openEvents++;
  }

  /** Counts events that were lost before they came here. */
  skip(count: number): void {
    this.seal();
    this.#next += count;
  }

  /** Makes what was gathered a chunk. */
  seal(): void {
    if (this.#openEvents === 0) return;
    const events = this.#openEvents;
    this.#keep({
      bytes: this.#open.slice(0, this.#openBytes),
      events,
      first: this.#next - events,
    });
    this.#openBytes = 0;
    this.#openEvents = 0;
  }

  /** The chunk of a number, or the oldest that is left; undefined when it is still to come. */
  at(number: number): FlowChunk | undefined {
    return this.#chunks[Math.max(0, number - this.#base)];
  }

  /** The number of the oldest chunk. */
  get oldest(): number {
    return this.#base;
  }

  /** Forgets chunks that nobody wants any more. */
  forgetBefore(number: number): void {
    while (this.#base < number && this.#chunks.length > 0) this.#shift();
  }

  /** Lets the oldest chunks go until what is left takes so many bytes at most. */
  shrink(bytes: number): void {
    while (this.#keptBytes > bytes) this.#onLost(this.#shift());
  }

  #keep(chunk: FlowChunk): void {
    this.#chunks.push(chunk);
    this.#keptBytes += chunk.bytes.length + CHUNK_OVERHEAD_BYTES;
  }

  #shift(): FlowChunk {
    const chunk = this.#chunks.shift()!;
    this.#base++;
    this.#keptBytes -= chunk.bytes.length + CHUNK_OVERHEAD_BYTES;
    return chunk;
  }
}
