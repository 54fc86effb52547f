/**
 * Reading an eBPF ring buffer in mapped memory (kernel/bpf/ringbuf.c): records are walked where the
 * kernel wrote them, with no system call for each.
 */
import { UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { waitReadable, Waker } from "../sys.ts";
import type { BpfMap } from "./map.ts";
import { Mapping, PROT_READ, PROT_WRITE } from "./mapping.ts";

const HEADER_BYTES = 8;
// Of a record's first 32 bits: bit 31 says that it is still being written, bit 30 that it is void.
const DISCARDED = 0x40000000;
const LENGTH_MASK = 0x3fffffff;

/** The one reader of a ring buffer. */
export class RingBuffer implements Disposable {
  readonly #map: BpfMap;
  readonly #waker = new Waker();
  readonly #mask: number;
  readonly #consumerPage: Mapping;
  readonly #data: Mapping;
  /** The consumer's position: written here, read by the kernel. */
  readonly #consumer: BigUint64Array<ArrayBuffer>;
  /** The producer's position: written by the kernel. */
  readonly #producer: BigUint64Array<ArrayBuffer>;
  /** The data, mapped twice in a row, so that no record is ever in two pieces. */
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  #position: bigint;
  #waiting = 0;
  #closed = false;

  /**
   * Maps the ring; reading goes on where the last reader stopped.
   * @param map stays the caller's
   * @throws SysError
   */
  constructor(map: BpfMap) {
    const page = shim().nv_page_size();
    const size = map.info().maxEntries;
    using stack = new DisposableStack();
    stack.use(this.#waker);
    this.#map = stack.use(map.dup());
    this.#consumerPage = new Mapping(map.fd, page, PROT_READ | PROT_WRITE, 0);
    stack.defer(() => this.#consumerPage.unmap());
    this.#data = new Mapping(map.fd, page + 2 * size, PROT_READ, page);
    this.#mask = size - 1;
    this.#consumer = new BigUint64Array(this.#consumerPage.buffer, 0, 1);
    this.#producer = new BigUint64Array(this.#data.buffer, 0, 1);
    this.#words = new Int32Array(this.#data.buffer, page, size / 2);
    this.#view = new DataView(this.#data.buffer, page, 2 * size);
    this.#position = Atomics.load(this.#consumer, 0);
    stack.move();
  }

  /**
   * Hands every finished record to a callback and gives its room back to the kernel.
   * @param callback view, offset and length of one record; the bytes are its own only until it returns.
   *   When it throws, the record counts as read.
   * @param max at most so many records
   * @returns how many there were
   * @throws UseAfterCloseError
   */
  consume(
    callback: (view: DataView<ArrayBuffer>, offset: number, length: number) => void,
    max = Infinity,
  ): number {
    if (this.#closed) throw new UseAfterCloseError("ring buffer");
    let count = 0;
    for (let read = -1; read !== 0 && count < max && !this.#closed;) {
      const available = Number(Atomics.load(this.#producer, 0) - this.#position);
      const start = Number(BigInt.asUintN(32, this.#position)) & this.#mask;
      read = 0;
      try {
        while (read < available && count < max && !this.#closed) {
          const offset = (start + read) & this.#mask;
          const header = Atomics.load(this.#words, offset >> 2);
          if (header < 0) break;
          const length = header & LENGTH_MASK;
          read += (length + HEADER_BYTES + 7) & ~7;
          if (header & DISCARDED) continue;
          count++;
          callback(this.#view, offset + HEADER_BYTES, length);
        }
      } finally {
        // Unless the callback closed it.
        if (!this.#closed) {
          this.#position += BigInt(read);
          Atomics.store(this.#consumer, 0, this.#position);
        }
      }
    }
    return count;
  }

  /** Bytes that wait to be read. @throws UseAfterCloseError */
  get pendingBytes(): number {
    if (this.#closed) throw new UseAfterCloseError("ring buffer");
    return Number(Atomics.load(this.#producer, 0) - this.#position);
  }

  /**
   * Waits on a thread of its own until there is something to read.
   * @param timeoutMs -1 waits without end
   * @returns false after the time-out or close()
   * @throws SysError, UseAfterCloseError
   */
  async wait(timeoutMs: number): Promise<boolean> {
    if (this.#closed) throw new UseAfterCloseError("ring buffer");
    this.#waiting++;
    try {
      return await waitReadable(this.#map.fd, timeoutMs, this.#waker) && !this.#closed;
    } finally {
      this.#waiting--;
      this.#closeDescriptors();
    }
  }

  /** Unmaps the ring and ends wait(); what was not read stays for the next reader. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waker.wake();
    this.#data.unmap();
    this.#consumerPage.unmap();
    this.#closeDescriptors();
  }

  // Not while a thread still waits for them.
  #closeDescriptors(): void {
    if (!this.#closed || this.#waiting > 0) return;
    this.#map.close();
    this.#waker.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
