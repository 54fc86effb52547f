/** An array map in mapped memory: its elements are changed word by word, as a program sees it. */
import { UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import type { BpfMap } from "./map.ts";
import { Mapping, PROT_READ, PROT_WRITE } from "./mapping.ts";

/** Elements of an ARRAY map with BPF_F_MMAPABLE. A store is one aligned store: a program sees all of it or nothing. */
export class MappedArray implements Disposable {
  readonly #mapping: Mapping;
  readonly #words: BigUint64Array<ArrayBuffer>;
  readonly #wordsPerElement: number;
  #closed = false;

  /** @param map stays the caller's, and may be closed afterwards @throws SysError EINVAL when it cannot be mapped */
  constructor(map: BpfMap) {
    const { maxEntries, valueSize } = map.info();
    this.#wordsPerElement = Math.ceil(valueSize / 8);
    const page = shim().nv_page_size();
    const size = Math.ceil(this.#wordsPerElement * 8 * maxEntries / page) * page;
    this.#mapping = new Mapping(map.fd, size, PROT_READ | PROT_WRITE, 0);
    this.#words = new BigUint64Array(this.#mapping.buffer);
  }

  /**
   * Stores one 64-bit word; stores are seen in the order in which they are made.
   * @param element its key
   * @param word which of its words, the first is 0
   * @throws UseAfterCloseError
   */
  store(element: number, word: number, value: bigint): void {
    if (this.#closed) throw new UseAfterCloseError("mapped array");
    Atomics.store(this.#words, element * this.#wordsPerElement + word, value);
  }

  /** Unmaps it; a second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#mapping.unmap();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
