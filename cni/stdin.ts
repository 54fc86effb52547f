import { CniCode, CniError } from "./errors.ts";

/** The most a network configuration may have; GC's list of attachments is what grows. */
export const MAX_STDIN_BYTES = 4 * 1024 * 1024;

/** What can be read from, as Deno.stdin. */
export interface ReaderSync {
  readSync(buffer: Uint8Array): number | null;
}

/**
 * Reads to the end.
 *
 * @throws {CniError} code 5 when reading fails, 6 when there are more than {@link MAX_STDIN_BYTES}.
 */
export function readAll(reader: ReaderSync, maxBytes: number = MAX_STDIN_BYTES): Uint8Array {
  let buffer = new Uint8Array(Math.min(16 * 1024, maxBytes + 1));
  let length = 0;
  for (;;) {
    const count = read(reader, buffer.subarray(length));
    if (count === null) return buffer.subarray(0, length);
    length += count;
    if (length > maxBytes) {
      const why = `the network configuration on stdin has more than ${maxBytes} bytes`;
      throw new CniError(CniCode.DECODING_FAILURE, why);
    }
    if (length === buffer.length) buffer = grow(buffer, maxBytes + 1);
  }
}

function read(reader: ReaderSync, into: Uint8Array): number | null {
  try {
    return reader.readSync(into);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `cannot read the network configuration from stdin: ${why}`;
    throw new CniError(CniCode.IO_FAILURE, message, "", { cause });
  }
}

function grow(buffer: Uint8Array, most: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(buffer.length * 4, most));
  larger.set(buffer);
  return larger;
}
