/** Texts that come again and again, read from UTF-8. Pure. */

const SLOTS = 4096;
/** Longer ones than names of pods and rules are not kept. */
const LONGEST = 512;
const decoder = new TextDecoder();

/** Remembers texts by a hash of their bytes: reading one again makes nothing new. Bounded by its slots. */
export class TextCache {
  readonly #bytes = new Array<Uint8Array | undefined>(SLOTS);
  readonly #texts = new Array<string>(SLOTS);

  /** The text of a part of `bytes`. */
  read(bytes: Uint8Array, start: number, end: number): string {
    if (start === end) return "";
    if (end - start > LONGEST) return decoder.decode(bytes.subarray(start, end));
    let hash = 0;
    for (let at = start; at < end; at++) hash = Math.imul(hash, 31) + bytes[at]! | 0;
    const slot = (hash ^ hash >>> 15) & (SLOTS - 1);
    const known = this.#bytes[slot];
    if (known !== undefined && isSame(known, bytes, start, end)) return this.#texts[slot]!;
    const own = bytes.slice(start, end);
    this.#bytes[slot] = own;
    return this.#texts[slot] = decoder.decode(own);
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let index = 0; index < known.length; index++) {
    if (known[index] !== bytes[start + index]) return false;
  }
  return true;
}
