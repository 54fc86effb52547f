/** Bytes on their way to and from C. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Bytes that C may be lent. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * A NUL-terminated copy of text.
 * @throws TypeError when text holds a NUL itself
 */
export function cString(text: string): Bytes {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} holds a NUL character`);
  return encoder.encode(`${text}\0`);
}

/** The text before the first NUL of a fixed-size field. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/**
 * bytes as a view that may be lent to C.
 * @throws TypeError when they are shared memory
 */
export function lend(bytes: Uint8Array): Bytes {
  if (bytes.buffer instanceof ArrayBuffer) return bytes as Bytes;
  throw new TypeError("shared memory can't be lent to C");
}

/**
 * bytes, when they are exactly as many as the kernel will read or write.
 * @param what names them in the error
 * @throws RangeError when they are not
 */
export function exactly(what: string, bytes: Uint8Array, size: number): Bytes {
  if (bytes.byteLength === size) return lend(bytes);
  throw new RangeError(`${what} has ${bytes.byteLength} bytes where ${size} are needed`);
}
